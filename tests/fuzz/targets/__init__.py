"""All targets, by name."""

from tests.fuzz.target import Target
from tests.fuzz.targets.disk import Directories, Groups
from tests.fuzz.targets.frames import Frames, Peer, Values
from tests.fuzz.targets.handshake import Handshakes
from tests.fuzz.targets.resp import Resp
from tests.fuzz.targets.texts import Configurations, Specifications

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Resp(), Frames(), Values(), Peer(), Groups(), Directories(), Handshakes(), Configurations(), Specifications(),
    )
}  # fmt: skip
