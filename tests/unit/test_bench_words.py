"""What the verdict says besides who won."""

from bench_sessions import Mode, about, experiment

from bench.words import in_words


def test_hosts_that_were_emulated_are_told():
    modes = [Mode("a"), Mode("b")]
    kinds = {"app1": "qemu", "db1": "kvm", "api1": "systemd-nspawn", "load1": "qemu"}
    hosts = {name: {"virtualization": kind} for name, kind in kinds.items()}
    emulated = about(modes) | {"fingerprint": {"controller": {}, "hosts": hosts}}
    told = in_words(experiment(emulated, modes))
    assert any("app1 and load1 ran under emulation" in sentence for sentence in told)
    assert not any("emulation" in told for told in in_words(experiment(about(modes), modes)))
