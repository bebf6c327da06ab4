from __future__ import annotations

import pytest

from pycontainer.cli.run_flags import FLAGS, run_options
from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar.limits import Rlimit
from pycontainer.oci.grammar.mounts import Mount

# The names of `docker run --help` (28.2) and those it accepts but hides.
DOCKER = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-count
cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys
device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns
dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries
health-start-interval health-start-period health-timeout hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc
isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation
memory-swap memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid
pids-limit platform privileged publish publish-all pull quiet read-only restart rm runtime security-opt shm-size
sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume
volume-driver volumes-from workdir help net net-alias dns-opt
"""
SHORT = "acdehilmpPqtuvw"


def test_every_flag_of_docker_run_is_known():
    assert not {f"--{name}" for name in DOCKER.split()} - set(FLAGS.by_name)
    assert not {f"-{letter}" for letter in SHORT} - set(FLAGS.by_name)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS.refused if flag.help], ids=lambda flag: flag.names)
def test_a_flag_that_we_lack_is_refused_by_name_with_a_reason(flag):
    name = flag.names.rpartition(" ")[2]
    with pytest.raises(Unsupported) as caught:
        run_options([f"{name}=5" if flag.kind else name, "image"])
    assert caught.value.message == f"{name} is not supported: {flag.help}"


@pytest.mark.parametrize("args", [["-d=false"], ["--restart", "no"], ["--no-healthcheck"], ["--disable-content-trust"]])
def test_a_refused_flag_that_asks_for_nothing_is_harmless(args):
    assert run_options([*args, "image"]).image == "image"


@pytest.mark.parametrize("flag", ["--storage-opt"])
def test_a_refused_list_is_refused_whatever_is_in_it(flag):
    with pytest.raises(Unsupported):
        run_options([flag, "0", "image"])


def test_swap_may_be_none_at_all():
    options = run_options(["-m", "64m", "--memory-swap", "64m", "image"]).container
    assert options.memory == options.memory_swap == 64 << 20


def test_flags_end_where_the_image_begins():
    options = run_options(["-it", "--rm", "alpine", "ls", "-l", "--rm"])
    assert (options.image, options.container.command, options.rm) == ("alpine", ("ls", "-l", "--rm"), True)
    assert options.container.tty and options.container.interactive


def test_two_dashes_end_the_flags():
    assert run_options(["--", "image", "-x"]).container.command == ("-x",)


@pytest.mark.parametrize(
    "args", [["-m64m"], ["-m=64m"], ["-m", "64m"], ["--memory=64m"], ["--memory", "64m"], ["-itm64m"]]
)
def test_a_value_may_be_attached_in_every_way_of_docker(args):
    assert run_options([*args, "image"]).container.memory == 64 << 20


def test_a_switch_takes_a_value_after_an_equals_sign_only():
    options = run_options(["--sig-proxy=false", "--init=1", "-t=false", "--rm", "true"])
    assert (options.sig_proxy, options.container.init, options.container.tty) == (False, True, False)
    assert (options.rm, options.image) == (True, "true")


def test_explain_does_not_swallow_the_image():
    assert run_options(["--explain", "alpine"])[:1] == ("alpine",)
    assert run_options(["--explain", "alpine"]).explain == "text"
    assert run_options(["--explain=json:/tmp/x", "alpine"]).explain == "json:/tmp/x"


def test_repeated_values_come_in_order_and_files_come_first(tmp_path):
    file = tmp_path / "env"
    file.write_text("A=file\nB=file\n")
    options = run_options(["-e", "A=flag", "--env-file", str(file), "-e", "A=last", "image"]).container
    assert options.env == ("A=file", "B=file", "A=flag", "A=last")


def test_mounts_of_all_kinds_come_in_one_list():
    mounts = run_options(
        ["-v", "/a:/b", "--tmpfs", "/c", "--mount", "type=bind,src=/d,dst=/e", "image"]
    ).container.mounts
    assert mounts == (
        Mount("bind", "/a", "/b", make_source=True),
        Mount("tmpfs", "", "/c"),
        Mount("bind", "/d", "/e"),
    )


def test_maps_and_ulimits_keep_the_last_of_equal_keys():
    options = run_options(["-l", "a=1", "-l", "a=2", "--ulimit", "nofile=1", "--ulimit", "nofile=2", "image"]).container
    assert options.labels == {"a": "2"}
    assert options.ulimits == (Rlimit("RLIMIT_NOFILE", 2, 2),)


def test_security_options_are_sorted_out():
    words = ["no-new-privileges", "seccomp=unconfined", "unmask=/proc/a:/proc/b", "mask=/x", "compat32=off"]
    options = run_options([part for word in words for part in ("--security-opt", word)] + ["image"]).container
    assert (options.no_new_privileges, options.seccomp, options.compat32) == ("on", "unconfined", "off")
    assert (options.unmask, options.mask) == (("/proc/a", "/proc/b"), ("/x",))


def test_capabilities_have_their_full_names():
    options = run_options(["--cap-add", "net_admin", "--cap-drop", "ALL", "image"]).container
    assert (options.cap_add, options.cap_drop) == (("CAP_NET_ADMIN",), ("ALL",))


def test_an_empty_name_is_none():
    assert run_options(["--name", "", "image"]).name == ""


@pytest.mark.parametrize(
    ("typed", "meant"), [("--memroy", "--memory"), ("--hostnam", "--hostname"), ("--volumes", "--volume")]
)
def test_what_is_nearly_a_flag_is_taken_for_a_typing_error(typed, meant):
    with pytest.raises(UsageError) as caught:
        run_options([typed, "image"])
    assert caught.value.hint == f"did you mean {meant}?"


@pytest.mark.parametrize("typed", ["--nonsense", "--foo", "--gone"])
def test_what_is_no_flag_by_far_is_not(typed):
    with pytest.raises(UsageError) as caught:
        run_options([typed, "image"])
    assert caught.value.hint == ""


def test_the_default_network_is_the_bridge():
    assert run_options(["image"]).container.network == "bridge"


BAD = [
    ([], "requires at least 1 argument"),
    (["--memory"], "flag needs an argument: --memory"),
    (["--memroy", "1", "x"], "unknown flag: --memroy"),
    (["-itZ", "x"], "unknown flag: -Z in -itZ"),
    (["-m", "abc", "x"], 'invalid argument "abc" for "-m, --memory" flag: not a size'),
    (["--rm=maybe", "x"], 'invalid argument "maybe" for "--rm" flag: must be true or false'),
    (["-m", "1m", "x"], "the minimum is 6m"),
    (["--memory-swap", "1g", "x"], "needs --memory"),
    (["-m", "1g", "--memory-swap", "512m", "x"], "can't be less than --memory"),
    (["-m", "64m", "--memory-reservation", "65m", "x"], "can't be more than --memory"),
    (["--oom-kill-disable", "x"], "without --memory"),
    (["--cpus", "1", "--cpu-quota", "5000", "x"], "one or the other"),
    (["--cpu-period", "999", "x"], "must be from 1000"),
    (["--uts", "host", "-h", "x", "x"], "would rename the host"),
    (["-v", "/a:/x", "--tmpfs", "/x", "x"], "duplicate mount point: /x"),
    (["-v", "/a:/proc/sys", "x"], "can't mount on /proc/sys"),
    (["-v", "/a:/proc", "x"], "can't mount on /proc"),
    (["--cap-add", "NOPE", "x"], "unknown capability"),
    (["--platform", "a/b/c/d", "x"], "--platform"),
    (["--pids-limit", "-2", "x"], "must be from -1"),
    (["--oom-score-adj", "1001", "x"], "must be from -1000 to 1000"),
    (["--explain=xml", "x"], "text or json:FILE"),
    (["--pull", "often", "x"], "must be always, missing or never"),
    (["-w", "relative", "x"], "absolute path"),
]


@pytest.mark.parametrize(("args", "message"), BAD)
def test_a_mistake_is_one_line_that_names_the_flag(args, message):
    with pytest.raises(UsageError) as caught:
        run_options(args)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_misspelt_flag_gets_a_suggestion():
    with pytest.raises(UsageError) as caught:
        run_options(["--memroy", "1", "x"])
    assert caught.value.hint == "did you mean --memory?"


def test_the_language_of_every_flag_is_found():
    from pycontainer.cli import exec, ps
    from pycontainer.cli.flags import parser

    flags = {flag for table in (FLAGS, exec.FLAGS, ps.FLAGS) for flag in table.by_name.values()}
    assert all(callable(parser(flag)) for flag in flags)
