from __future__ import annotations

import pytest

from pycontainer.errors import UsageError
from pycontainer.oci.instructions import apply, apply_all

BASE = {"Cmd": ["old"], "Env": ["A=1", "PATH=/bin"], "WorkingDir": "/srv", "Labels": {"a": "b"}}

CASES = [
    ("CMD ls -l", {"Cmd": ["/bin/sh", "-c", "ls -l"]}),
    ('cmd ["ls", "-l"]', {"Cmd": ["ls", "-l"]}),
    ('CMD ["ls", 1]', {"Cmd": ["/bin/sh", "-c", '["ls", 1]']}),
    ('ENTRYPOINT ["x"]', {"Entrypoint": ["x"]}),
    ("ENV B=2", {"Env": ["A=1", "PATH=/bin", "B=2"]}),
    ("ENV A=2 C='3 4' D=\"5 6\" E=7\\ 8", {"Env": ["A=2", "PATH=/bin", "C=3 4", "D=5 6", "E=7 8"]}),
    ("ENV A one two", {"Env": ["A=one two", "PATH=/bin"]}),
    ("ENV A=", {"Env": ["A=", "PATH=/bin"]}),
    ("LABEL x=y", {"Labels": {"a": "b", "x": "y"}}),
    ('LABEL "x y"="z w" a=c', {"Labels": {"a": "c", "x y": "z w"}}),
    ("EXPOSE 80", {"ExposedPorts": {"80/tcp": {}}}),
    ("EXPOSE 53/udp 1-3", {"ExposedPorts": {"53/udp": {}, "1/tcp": {}, "2/tcp": {}, "3/tcp": {}}}),
    ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
    ('VOLUME ["/a b"]', {"Volumes": {"/a b": {}}}),
    ("USER 1:2", {"User": "1:2"}),
    ("WORKDIR /x", {"WorkingDir": "/x"}),
    ("WORKDIR x", {"WorkingDir": "/srv/x"}),
    ("ONBUILD RUN make", {"OnBuild": ["RUN make"]}),
    ("STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
    ('SHELL ["/bin/bash", "-c"]', {"Shell": ["/bin/bash", "-c"]}),
    ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
    (
        "HEALTHCHECK --interval=5s --retries=2 CMD curl x",
        {"Healthcheck": {"Interval": 5 * 10**9, "Retries": 2, "Test": ["CMD-SHELL", "curl x"]}},
    ),
    ("ENV\tB=2", {"Env": ["A=1", "PATH=/bin", "B=2"]}),
    ("ENV PATH=/x:$PATH A=2 B=$A", {"Env": ["A=2", "PATH=/x:/bin", "B=1"]}),
    (r"""ENV B='$A' C=\$A D="${A}\$A 'q'" E=a$""", {"Env": ["A=1", "PATH=/bin", "B=$A", "C=$A", "D=1$A 'q'", "E=a$"]}),
    (
        "ENV B=${X:-no$A} C=${A:+yes} D=${X:+no} E=${A:?x} F=$X",
        {"Env": ["A=1", "PATH=/bin", "B=no1", "C=yes", "D=", "E=1", "F="]},
    ),
    (r'ENV B="a \"b\" \n" C=\\', {"Env": ["A=1", "PATH=/bin", 'B=a "b" \\n', "C=\\"]}),
    ("ENV B one $A", {"Env": ["A=1", "PATH=/bin", "B=one 1"]}),
    ("LABEL v=$A$A", {"Labels": {"a": "b", "v": "11"}}),
    ("EXPOSE 8$A/udp", {"ExposedPorts": {"81/udp": {}}}),
    ("VOLUME /v$A", {"Volumes": {"/v1": {}}}),
    ("USER u$A", {"User": "u1"}),
    ("WORKDIR ../$A/./x/", {"WorkingDir": "/1/x"}),
    ("WORKDIR //", {"WorkingDir": "/"}),
    ("STOPSIGNAL 9", {"StopSignal": "9"}),
    ("STOPSIGNAL RTMIN+3", {"StopSignal": "RTMIN+3"}),
    ("CMD echo $A", {"Cmd": ["/bin/sh", "-c", "echo $A"]}),
    ("CMD []", {"Cmd": []}),
    ("ONBUILD ENV x=$A", {"OnBuild": ["ENV x=$A"]}),
    (
        "HEALTHCHECK --start-interval=1s --start-period=1m --timeout=2s CMD x",
        {
            "Healthcheck": {
                "StartInterval": 10**9,
                "StartPeriod": 60 * 10**9,
                "Timeout": 2 * 10**9,
                "Test": ["CMD-SHELL", "x"],
            }
        },
    ),
    ('HEALTHCHECK CMD ["curl"]', {"Healthcheck": {"Test": ["CMD", "curl"]}}),
]


@pytest.mark.parametrize(("line", "changed"), CASES)
def test_an_instruction_changes_what_it_names_and_nothing_else(line, changed):
    before = {key: list(value) if isinstance(value, list) else value for key, value in BASE.items()}
    assert apply(BASE, line) == {**BASE, **changed}
    assert before == BASE


def test_a_new_entrypoint_drops_the_command_that_was_meant_for_the_old_one():
    assert "Cmd" not in apply_all(BASE, ["ENTRYPOINT x"])
    assert apply_all(BASE, ["CMD y", 'ENTRYPOINT ["x"]'])["Cmd"] == ["/bin/sh", "-c", "y"]
    assert apply_all(BASE, ['ENTRYPOINT ["x"]', "CMD y"])["Cmd"] == ["/bin/sh", "-c", "y"]
    assert apply_all(BASE, []) == BASE


def test_the_shell_of_the_image_runs_what_is_no_list():
    assert apply_all({}, ['SHELL ["/bin/ash", "-ec"]', "CMD x"])["Cmd"] == ["/bin/ash", "-ec", "x"]


@pytest.mark.parametrize(
    "line",
    ["", "RUN x", "COPY a b", "FROM x", "CMD", "ENV", "ENV A", "ENV =x", "LABEL x", "EXPOSE", "EXPOSE 0",
     "EXPOSE 65536", "EXPOSE 3-1", "EXPOSE x", "EXPOSE 80/x", "SHELL sh", "SHELL []", "ONBUILD FROM x",
     "ONBUILD ONBUILD RUN x", "HEALTHCHECK x", "HEALTHCHECK CMD", "HEALTHCHECK --what=1 CMD x",
     "HEALTHCHECK --interval=soon CMD x", "HEALTHCHECK --retries=x CMD y", 'ENV A="x', "ENV A='x", 'LABEL "a=b',
     "ENV A=${B", "ENV A=${B:=c}", "ENV A=${B:?must be there}", "VOLUME []", 'VOLUME [""]', "STOPSIGNAL SIGNONE",
     "STOPSIGNAL 99", "HEALTHCHECK NONE x", "HEALTHCHECK --interval=1s NONE"],
)  # fmt: skip
def test_what_is_no_instruction_is_a_usage_error(line):
    with pytest.raises(UsageError):
        apply(BASE, line)


def test_one_change_may_have_several_lines():
    lines = "# a comment\nENV B=1 \\\n  C=2\n\nUSER me\n"
    assert apply_all({}, [lines, "WORKDIR /x"]) == {"Env": ["B=1", "C=2"], "User": "me", "WorkingDir": "/x"}
