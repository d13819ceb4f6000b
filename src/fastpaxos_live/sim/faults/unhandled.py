"""Damage that the product does not notice today, in one place: nobody draws it, and who would have done counts it."""

from typing import NamedTuple


class Unhandled(NamedTuple):
    """What would happen, and which feature ends that."""

    damage: str
    today: str
    lifted_by: str


UNHANDLED = {
    "rot_unvouched": Unhandled(
        "a bit flips in the last group: none behind it says that it was durable",
        "it is cut as a doubtful tail, and the replica forgets what it acknowledged",
        "rebuild of a replica that may have forgotten something",
    ),
    "old_newest_file": Unhandled(
        "an older copy of the newest file of the log is put back",
        "the replica goes on from there and has forgotten what came later",
        "peers that remember how far each replica was",
    ),
    "old_meta": Unhandled(
        "an older copy of meta.json is put back",
        "the replica starts; a loss of power under a relaxed policy may be overlooked",
        "peers that remember how far each replica was",
    ),
    "old_directory": Unhandled(
        "the whole directory is rolled back, as by a backup or a snapshot of the machine",
        "the replica starts and has forgotten what came later",
        "peers that remember how far each replica was",
    ),
    "copied_directory": Unhandled(
        "two replicas run on copies of one directory",
        "each answers as the same one; peers refuse only connections that look older",
        "peers that remember how far each replica was",
    ),
    "vm_pause": Unhandled(
        "a virtual machine stands still, and its boot clock with it",
        "its lease lasts too long in true time: it may answer stale reads",
        "reads that ask a majority",
    ),
    "identity_answers": Unhandled(
        "a second process with a replica's identity answers at its address, or calls one that has forgotten it",
        "it is accepted: answers carry no number of their own, and call numbers are forgotten at a restart",
        "peers that remember how far each replica was",
    ),
}
