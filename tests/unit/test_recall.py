"""What a container was made with comes back from JSON as it was."""

from __future__ import annotations

import json

from pycontainer.cli.run_flags import run_options
from pycontainer.engine.recall import recalled, stored

EVERYTHING = """
--rm=false --name nn -it -w /w -e A=b --env C=d -u 1:2 --group-add 3 --init --stop-signal TERM --stop-timeout 3
--ulimit nofile=1:2 --oom-score-adj 5 --restart on-failure:3 --log-driver none --health-cmd true --health-interval 3s
-h host --add-host a:1.2.3.4 --dns 1.1.1.1 -l a=b --annotation c=d -v /a:/b:ro -v name:/c
--mount type=tmpfs,target=/t,tmpfs-size=1m --mount type=volume,source=vv,target=/v,volume-label=a=b --volumes-from x:ro
--tmpfs /y:size=1m --shm-size 1m --device /dev/null:/dev/x:r --sysctl a.b=1
--network name=net,alias=x,ip=10.0.0.2,gw-priority=3 --link a:b -p 80:80 -p 127.0.0.1:1000-1001:1000-1001/udp --expose 7
--cap-add NET_ADMIN --cap-drop CHOWN --security-opt no-new-privileges --security-opt mask=/a:/b -m 64m --cpus 1.5
--blkio-weight-device /dev/a:100 --device-read-bps /dev/b:1mb --device-cgroup-rule
""".split()


def test_options_come_back_as_they_were() -> None:
    options = run_options([*EVERYTHING, "c 1:* rwm", "image", "command"]).container
    back = recalled(json.loads(json.dumps(stored(options))))
    for name, value in options._asdict().items():
        mine = getattr(back, name)
        assert mine == value, name
        assert type(mine) is type(value) or not isinstance(value, tuple), name
    for name in ("ulimits", "mounts", "devices", "device_cgroup_rules", "endpoints", "publish"):
        assert [type(one) for one in getattr(back, name)] == [type(one) for one in getattr(options, name)], name
