"""How long replies can be: those that are made when a batch is applied can't be stopped half-way."""

from .db_ops import FLAG_GET, OP_GET, OP_GETDEL, OP_GETEX, OP_MGET, OP_SET, op_code, op_decode
from .db_store import Store
from .limits import LOOKUP_BYTES

REPLY_SHORT = 64  # of a reply without keys, and what is around those of another one


def gives_value(operation: bytes) -> bool:
    """Is this a write whose reply is a value?"""
    opcode = op_code(operation, 0)
    return opcode in (OP_GETDEL, OP_GETEX) or opcode == OP_SET and bool(operation[17] & FLAG_GET)


def reply_bound(store: Store, operation: bytes, growth: int) -> int:
    """No reply to this operation is longer, if no value becomes longer than the present one by more than `growth`. It
    has what the look-ups cost as well.
    """
    items = op_decode(operation, 0)[3]
    bound = REPLY_SHORT + LOOKUP_BYTES * len(items)
    if op_code(operation, 0) in (OP_GET, OP_MGET) or gives_value(operation):
        bound += sum(growth + len(store.get(key) or b"") for key, _ in items)
    return bound
