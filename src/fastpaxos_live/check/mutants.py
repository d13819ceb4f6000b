"""Where the model check looks for the specification's known mistakes (`spec/mutants.py`)."""

from dataclasses import dataclass

from ..smc.mutate import SpecMutant
from ..spec import mutants

# The scope in which each is looked for; the others are in "one instance".
SCOPE_OF = {
    "own promise not durable before the propose": "three rounds",
    "entries of two promises make one": "two in flight",
    "a newer mark commits an older number's entry": "two in flight, marks",
    "an acknowledgement covers older numbers": "two in flight",
    "the lease counts from the receipt": "held reads",
    "the lease is moved by a resend": "lease and writes",
    "the master's lease is as long as the grants": "lease and reads",
    "a grant ignores the span": "lease and reads, other settings",
    "the silence follows the new setting": "lease and reads, other settings",
    "a longer span is granted before it is durable": "lease and reads, other settings",
    "promises while it grants a lease to another": "lease and reads",
    "promises in the silence after a restart": "lease and reads",
    "a heartbeat of an old number renews": "lease and reads",
    "the epoch instance counts when it is proposed": "two in flight",
    "a read is confirmed by an older answer": "held reads",
    "a boost goes on after a foreign entry": "boost",
    "a boost counts a promise without its entries": "boost",
}
# Nothing can go wrong in any scope, only on a disk that forgets: the static check sees it.
UNEXPLORED = {"a refused propose raises the refuser"}
# Messages that make no difference to the protocol as it is may make one to these.
NOTHING_FORGOTTEN = {"accepted below the promise", "acknowledgements of an older number count"}


@dataclass(frozen=True, slots=True)
class Known:
    """A mutant; the scope that it is looked for in, if in any; may messages be forgotten that make no difference to the
    protocol as it is?
    """

    mutant: SpecMutant
    scope: str | None = "one instance"
    forget: bool = True


MUTANTS = tuple(
    Known(
        mutant, None if mutant.name in UNEXPLORED else SCOPE_OF.get(mutant.name, "one instance"),
        mutant.name not in NOTHING_FORGOTTEN,
    )
    for mutant in mutants.MUTANTS
)
