#!/usr/bin/python
"""Ansible module: a host's key, its certificate, and those of the authority it believes."""

from __future__ import annotations

import grp
import os
import re
import ssl
import time
from pathlib import Path

from ansible.module_utils import greenrack_files
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_certificate
short_description: A host's certificate, signed on the controller
description:
  - The host makes its key, which stays there, and asks for a certificate; the action plugin of the same name, on the
    controller, signs it with a key that stays there. Where nothing is due, the host is asked once.
  - It is due when it is missing, of another key or another authority, for other names, or has less than a third
    of its time left.
  - While an authority is exchanged, one of the authority before is left, and made where one is due, until C(exchange),
    for others have to have read whom they believe now before they are shown the new one.
options:
  secrets: {description: "File of secrets on the controller, with the authority's key", type: path, required: true}
  names: {description: "Names and IPv4 addresses it is for, if any", type: list, elements: str, default: []}
  keeps:
    description: Names that stay where it has them, for another inventory has given them
    type: list
    elements: str
    default: []
  days: {description: Days it is valid, type: float, required: true}
  exchange: {description: "Whether one of the authority before is due", type: bool, default: false}
  folder: {description: Where it goes, type: path, default: /etc/greenrack/tls}
  trusted: {description: "The authority's certificates, the one that signs first; the action plugin sets it", type: str}
  signed: {description: The certificate; the action plugin sets it, type: str}
"""

RETURN = r"""
request: {description: "A request for a certificate, if one is due", type: str, returned: always}
why: {description: Why one is due, type: str, returned: always}
later: {description: "Whether it is of the authority before, and is left", type: bool, returned: always}
shown: {description: "The certificate that is there, if another one is due", type: str, returned: when one is due}
"""

GROUP = "ssl-cert"  # Debian's, of services that read keys
END = "-----END CERTIFICATE-----\n"


class Host:
    """What is in the folder, and what shall be."""

    def __init__(self, module):
        self.module = module
        self.names = module.params["names"]
        folder = Path(module.params["folder"])
        self.key, self.certificate = folder / "host.key", folder / "host.crt"
        self.trust = folder / "ca.crt"
        self.later = False

    def openssl(self, *arguments, text=None):
        """Run openssl; return what it printed, or None where it failed."""
        code, out, err = self.module.run_command(["openssl", *map(str, arguments)], data=text)
        self.said = err
        return out if code == 0 else None

    def write(self, path, text):
        """Write a file that everybody may read; return whether it was another before."""
        plain = {"path": str(path), "content": text, "secret": None, "mode": "0644"}
        wanted = {**plain, "owner": "root", "group": "root", "validate": None}
        return bool(greenrack_files.bring_up_to_date(self.module, [wanted])[0])

    def due(self):
        """Return why a certificate is due; an empty string if it is not."""
        public = self.public()
        if public is None:
            return "the host has no key"
        if not self.certificate.exists():
            return "there is none"
        shown = ["-noout", "-pubkey", "-startdate", "-enddate", "-ext", "subjectAltName"]
        told = self.openssl("x509", "-in", self.certificate, *shown)
        if told is None or public not in told:
            return "it is of another key"
        said = re.findall(r"(?:DNS|IP Address):([^,\s]+)", told)
        if not set(self.names) <= set(said) <= {*self.names, *self.module.params["keeps"]}:
            return f"it is for {', '.join(said)}"
        # Not by strptime, to which "Dec" is no month in a German locale.
        begin, end = map(
            ssl.cert_time_to_seconds, re.findall(r"^not(?:Before|After)=(.*)$", told, re.M)
        )
        if (end - time.time()) * 3 < end - begin:
            return f"it ends at {time.strftime('%Y-%m-%d %H:%M', time.gmtime(end))} UTC"
        signer, *before = self.module.params["trusted"].split(END)[:-1]
        if self.signed_by(signer):
            return ""
        self.later = any(map(self.signed_by, before)) and not self.module.params["exchange"]
        return "" if self.later else "it is of another authority"

    def signed_by(self, authority):
        """Say whether the certificate is of an authority, and valid."""
        file = Path(self.module.tmpdir) / "authority.crt"
        file.write_text(authority + END, "ascii")
        return self.openssl("verify", "-CAfile", file, self.certificate) is not None

    def public(self):
        """Return the public half of the key; None where there is none, or a broken one."""
        return self.openssl("pkey", "-in", self.key, "-pubout") if self.key.exists() else None

    def request(self):
        """Return a request for a certificate, with the host's key, which is made if there is none."""
        if self.public() is None:
            partial = self.key.with_suffix(".partial")
            self.must(
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
                partial,
            )
            os.chown(partial, 0, grp.getgrnam(GROUP).gr_gid)
            partial.chmod(0o640)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(self.key)
        return self.must("req", "-new", "-key", self.key, "-subj", "/")

    def must(self, *arguments):
        """Run openssl, which must not fail."""
        told = self.openssl(*arguments)
        if told is None:
            self.module.fail_json(msg=f"openssl {arguments[0]} failed:\n{self.said}")
        return told


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "secrets": {"type": "path", "required": True, "no_log": False},
            "names": {"type": "list", "elements": "str", "default": []},
            "keeps": {"type": "list", "elements": "str", "default": []},
            "days": {"type": "float", "required": True},
            "exchange": {"type": "bool", "default": False},
            "folder": {"type": "path", "default": "/etc/greenrack/tls"},
            "trusted": {"type": "str"},
            "signed": {"type": "str"},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    host = Host(module)
    if module.params["signed"]:
        module.exit_json(
            changed=host.write(host.certificate, module.params["signed"]),
            why="",
            request="",
            later=False,
        )
    changed = host.write(host.trust, module.params["trusted"])
    why = host.due() if host.names else ""
    os.umask(0o077)
    asked = host.request() if why and not module.check_mode else ""
    told = {"why": why, "request": asked, "later": host.later}
    if asked and host.certificate.exists():
        told["shown"] = host.certificate.read_text("ascii", "replace")
    module.exit_json(changed=changed or bool(why), **told)


if __name__ == "__main__":
    main()
