"""What a host does to go back to the firewall it had, with nftables itself, in a network of its own."""

import os
import shutil
import subprocess

import greenrack_modules
import pytest

rules = greenrack_modules.load("firewall_rules")


def in_a_network_of_its_own(script):
    if os.geteuid() != 0 or not shutil.which("nft"):
        pytest.skip("needs root, and nft: apt install nftables")
    return subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("before", ["true", "nft add table inet greenrack"])
def test_a_host_that_had_no_rules_has_none_again(before):
    back = rules.BACK.replace(str(rules.BASE), "/nonexistent")
    done = in_a_network_of_its_own(f"{before}\n{back}\nnft list tables")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_was_let_in_before_is_what_is_not_wanted_any_more():
    old, new = ("# by hand\nadd rule a\nadd rule b\n", "# ours\nadd rule b\nadd rule c\n")
    union = new + rules.left(old, new)
    assert union == "# ours\nadd rule b\nadd rule c\nadd rule a\n"
    # A run that was interrupted has written it, and the next finds it as it wants it.
    assert new + rules.left(union, new) == union
    assert rules.left(new, new) == ""
