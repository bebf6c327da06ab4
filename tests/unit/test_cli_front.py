from __future__ import annotations

import errno
import os
import subprocess
import sys
from importlib import import_module

import click
import pytest

from pycontainer import __version__, cli
from pycontainer.cli import front
from pycontainer.errors import CommandNotFound, NotFound


@pytest.fixture(autouse=True)
def _empty(tmp_path, monkeypatch):
    monkeypatch.setenv("PYC_ROOT", f"{tmp_path}/root")
    monkeypatch.setenv("PYC_RUNROOT", f"{tmp_path}/run")


@pytest.fixture
def pyc(capsys):
    def call(*args: str) -> tuple[int, str, str]:
        status = cli.call(list(args))
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def failing(monkeypatch):
    """Put a command ``fail`` into the table that raises what it is given."""

    def install(error: BaseException) -> None:
        def callback() -> None:
            raise error

        command = click.Command("fail", callback=callback)
        find = front.Commands.get_command
        monkeypatch.setattr(
            front.Commands, "get_command", lambda self, ctx, n: command if n == "fail" else find(self, ctx, n)
        )

    return install


def every_command(table=front.COMMANDS, prefix=()):
    for name, (target, _) in table.items():
        if isinstance(target, dict):
            yield from every_command(target, (*prefix, name))
        else:
            yield (*prefix, name)


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_every_command_has_help(pyc, path):
    status, out, err = pyc(*path, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: pyc {' '.join(path)} ")


def test_help_lists_every_command_with_its_summary(pyc):
    status, out, _ = pyc()
    assert status == 0
    for name, (_, summary) in front.COMMANDS.items():
        assert f"  {name} " in out and summary in out


@pytest.mark.parametrize("flag", ["--dry-run", "--explain", "--step", "-d", "--sig-proxy", "--detach-keys"])
def test_what_is_about_running_is_no_flag_of_create(pyc, flag):
    assert pyc("create", flag, "image")[::2] == (
        125,
        f"pyc: unknown flag: {flag}\n  hint     see 'pyc create --help'\n",
    )
    assert flag not in pyc("create", "--help")[1].split()


def test_help_is_a_command_too(pyc):
    assert pyc("help") == pyc("--help")
    assert pyc("help", "run") == pyc("run", "--help")
    assert pyc("help", "volume", "ls") == pyc("volume", "ls", "--help")
    assert pyc("help", "nope")[::2] == (125, "pyc: unknown command: pyc nope\n  hint     see 'pyc --help'\n")


@pytest.mark.parametrize(
    "command", [path for path in every_command() if path[-1] not in ("run", "create")], ids=" ".join
)
def test_h_is_help_where_it_is_no_host_name(pyc, command):
    assert pyc(*command, "-h") == pyc(*command, "--help")


@pytest.mark.parametrize("module", ["events", "images", "network", "ps", "volume"])
def test_the_help_of_a_list_names_its_filters(pyc, module):
    known = import_module(f"pycontainer.cli.{module}").FILTERS
    helped = pyc(module, *(["ls"] if module in ("network", "volume") else []), "--help")[1]
    assert f"Show only those that match: {', '.join(sorted(known))}" in " ".join(helped.split())


def test_help_says_every_value_and_every_default(pyc):
    helped = " ".join(pyc("run", "--help")[1].split())
    for policy in ("no", "on-failure[:N]", "always", "unless-stopped", "on-unhealthy"):
        assert policy in helped.partition("--restart string")[2].partition("--log-driver")[0]
    for driver in ("json-file", "k8s-file", "local", "none"):
        assert driver in helped.partition("--log-driver string")[2].partition("--log-opt")[0]
    assert "User ids: private (default) or host" in helped
    assert "Seconds until it is killed (default 10)" in helped
    assert "10 if it was not said" in " ".join(pyc("stop", "--help")[1].split())


def test_no_type_is_any_type(pyc):
    assert "no such object: x" in pyc("inspect", "--type", "", "x")[2]


def test_a_container_whose_name_is_empty_is_not_there(pyc):
    assert pyc("exec", "", "ls")[2].startswith("pyc: no such container: ''\n")


@pytest.mark.parametrize("path", [("container", "list"), ("container", "ps"), ("image", "list"), ("image", "remove")])
def test_dockers_other_spellings_work(pyc, path):
    assert pyc(*path, "--help")[0] == 0


def test_the_version_is_told(pyc):
    assert pyc("--version") == (0, f"pyc version {__version__}\n", "")
    assert pyc("version", "--format", "{{.Server.Version}}")[1] == f"{__version__}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "pyc: unknown command: pyc nope\n"),
        (["image", "nope"], "pyc: unknown command: pyc image nope\n"),
        (["--nope"], "pyc: unknown flag: --nope\n"),
        (["ps", "--nope"], "pyc: unknown flag: --nope"),
        (["rm"], "pyc: 'rm' requires at least 1 argument\n  hint     pyc rm [OPTIONS] CONTAINER...\n"),
        (["tag", "a"], "pyc: 'tag' requires at least 2 arguments\n  hint     pyc tag [OPTIONS] SOURCE TARGET...\n"),
        (["network", "rm"], "pyc: 'network rm' requires at least 1 argument\n"),
        (["exec", "x"], "pyc: 'exec' requires at least 2 arguments\n  hint     pyc exec [OPTIONS] CONTAINER COMMAND"),
        (["create"], "pyc: 'create' requires at least 1 argument\n  hint     pyc create [OPTIONS] IMAGE [COMMAND]"),
        (["update"], "pyc: 'update' requires at least 1 argument\n"),
        (["create", "--nope", "x"], "pyc: unknown flag: --nope\n  hint     see 'pyc create --help'\n"),
        (["inspect", "--type", "disk", "x"], "pyc: invalid type 'disk': must be container, image, network or volume\n"),
        (["run", "--nope", "x"], "pyc: unknown flag: --nope\n"),
        (["run", "--gpus", "all", "x"], "pyc: --gpus is not supported: "),
        (["ps", "--format", "{{.Nope"], "pyc: template: unclosed action"),
    ],
)
def test_a_mistake_is_one_line_and_125(pyc, args, message):
    status, out, err = pyc(*args)
    assert (status, out) == (125, "")
    assert err.startswith(message)
    assert "Traceback" not in err


def test_a_command_that_is_not_there_is_refused_with_a_reason_or_what_may_be_meant(pyc):
    assert pyc("image", "build", ".")[2].startswith("pyc: image build is not supported: images are not built here")
    assert pyc("swarm", "init")[2].startswith("pyc: swarm is not supported: ")
    assert pyc("imags")[2].endswith("hint     did you mean pyc images?\n")
    assert pyc("container", "prot", "x")[2].endswith("hint     did you mean pyc container port?\n")
    assert pyc("zzz")[2].endswith("hint     see 'pyc --help'\n")


def test_an_error_is_its_message_and_hint_and_dockers_exit_code(pyc, failing):
    failing(NotFound("no such thing", hint="make one"))
    assert pyc("fail") == (1, "", "pyc: no such thing\n  hint     make one\n")


@pytest.mark.parametrize("spelling", [("run",), ("container", "run")])
@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("no such image"), 125), (CommandNotFound("execve(...)", errno.ENOENT), 127)]
)
def test_a_failure_of_run_is_125_and_a_missing_program_127(pyc, monkeypatch, spelling, error, status):
    def fail(*args: object, **more: object) -> int:
        raise error

    monkeypatch.setattr("pycontainer.engine.run.run", fail)
    assert pyc(*spelling, "image")[0] == status


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141)])
def test_being_interrupted_is_quiet(pyc, failing, error, status):
    failing(error)
    assert pyc("fail") == (status, "", "")


def test_a_bug_is_called_one_and_shows_its_traceback_only_when_asked(pyc, failing):
    failing(ValueError("oops"))
    status, _, err = pyc("fail")
    assert status == 125
    assert err.startswith("pyc: this is a bug: ValueError: oops\n")
    assert "Traceback" not in err
    assert "Traceback" in pyc("--debug", "fail")[2]


def test_a_full_disk_is_no_bug(pyc, failing):
    failing(OSError(errno.ENOSPC, "x", "/var/lib/x"))
    told = "pyc: /var/lib/x: no space left on device\n  hint     'pyc system prune' makes room\n"
    assert pyc("fail") == (125, "", told)


@pytest.mark.parametrize("buffering", ["", "1"])
@pytest.mark.parametrize("args", [["ps"], ["images"], ["info"], ["inspect", "nope"], ["version"], ["volume", "ls"]])
def test_a_full_stdout_is_called_so(args, buffering):
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-m", "pycontainer", *args]
        environment = os.environ | {"PYTHONUNBUFFERED": buffering}
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1] == "pyc: stdout: no space left on device"
    assert "Traceback" not in done.stderr


def test_help_that_can_not_be_written_is_told_too():
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-m", "pycontainer", "run", "--help"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (125, "pyc: stdout: no space left on device\n")


def test_the_roots_come_from_options_before_the_environment(tmp_path, pyc):
    out = pyc("--root", f"{tmp_path}/a", "info", "--format", "{{.DockerRootDir}} {{.RunRoot}}")[1]
    assert out == f"{tmp_path}/a {tmp_path}/run\n"


def test_the_roots_of_a_user_are_in_the_users_directories(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for name in ("PYC_ROOT", "PYC_RUNROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    roots = cli.Roots.default()
    assert roots == ("/home/a/.local/share/pycontainer", "/run/user/1000/pycontainer")


def test_looking_at_nothing_makes_no_directories(tmp_path, pyc):
    for args in (["ps"], ["images"], ["info"], ["inspect", "x"], ["rm", "x"], ["events", "--until", "0s"]):
        pyc(*args)
    assert not list(tmp_path.iterdir())


def test_several_names_are_tried_even_if_one_fails(pyc):
    status, out, err = pyc("inspect", "x", "y")
    assert (status, out) == (1, "[]\n")
    assert err.count("no such object") == 2


def test_a_reader_that_leaves_is_no_error():
    shell = "from pycontainer.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", shell, "run", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 141)
