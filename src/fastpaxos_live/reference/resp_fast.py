"""Requests to operations: the commands that touch data, and those whose reply is known at once."""

from collections.abc import Callable
from typing import NamedTuple

from .db_ops import (
    FLAG_ABSOLUTE,
    FLAG_GET,
    FLAG_GT,
    FLAG_KEEP,
    FLAG_LT,
    FLAG_NX,
    FLAG_RELATIVE,
    FLAG_XX,
    INTEGER_MAX,
    INTEGER_MIN,
    MISTAKE_INTEGER,
    MISTAKE_TIME,
    OP_APPEND,
    OP_DBSIZE,
    OP_DEL,
    OP_EXISTS,
    OP_EXPIRE,
    OP_FLUSH,
    OP_GET,
    OP_GETDEL,
    OP_GETEX,
    OP_INCRBY,
    OP_MGET,
    OP_MSET,
    OP_MSETNX,
    OP_PERSIST,
    OP_SET,
    OP_SETNX,
    OP_STRLEN,
    OP_TTL,
    OP_TYPE,
    is_read,
    op_encode,
    parse_integer,
)
from .limits import CALL_ARGUMENTS_MAX, CALL_BYTES_MAX

READ, WRITE, REPLY, CALL = range(4)
ALIEN = 4  # no Redis client sends this
MULTI, EXEC, DISCARD = 5, 6, 7  # what these do depends on what went before on the connection

NAME_BYTES_MAX = 16  # no command has a longer name, but those that begin with FPL.
SHOWN_BYTES_MAX = 128  # of a request in an error about it
TTL_MS_MAX = INTEGER_MAX - (1 << 45)  # so that adding the time in force can't overflow

# Commands of Redis that there are not, but which Python is told about, so that it can say what to use instead.
ABSENT = frozenset(
    (
        b"SYNC PSYNC REPLCONF SAVE BGSAVE BGREWRITEAOF LPUSH RPUSH LPOP RPOP LRANGE SADD SPOP HSET ZADD "
        b"ZPOPMIN XADD WATCH UNWATCH EVAL EVALSHA SCRIPT FUNCTION FCALL SUBSCRIBE "
        b"PSUBSCRIBE SSUBSCRIBE PUBLISH SPUBLISH SCAN KEYS RANDOMKEY MONITOR SLOWLOG LATENCY ACL"
    ).split()
)

ERR_SYNTAX = b"ERR syntax error"
ERR_INTEGER = b"ERR value is not an integer or out of range"
ERR_DECREMENT = b"ERR decrement would overflow"
ERR_NX = b"ERR NX and XX, GT or LT options at the same time are not compatible"
ERR_CALL = b"ERR this command takes at most %d arguments of %d bytes in all" % (CALL_ARGUMENTS_MAX, CALL_BYTES_MAX)
ERR_GT = b"ERR GT and LT options at the same time are not compatible"

Encoded = tuple[int, bytes]


class Command(NamedTuple):
    """One row of the table below."""

    arity: int  # how many arguments with the name; negative: at least as many
    shape: Callable[["Command", list[bytes], int], Encoded]  # (row, args, RESP version)
    opcode: int = 0
    flags: int = 0
    arg: int = (
        0  # of the operation; for SHAPES with a time: its unit in ms; with a number: its sign
    )


def encode(args: list[bytes], resp: int, value_bytes_max: int) -> Encoded:
    """What to do with a request of at least one argument: (READ or WRITE, operation), (REPLY,
    reply) or (CALL, nothing): Python answers. Or one of the kinds above that, and nothing. `resp` is the connection's
    RESP version."""
    name = args[0].upper()
    row = COMMANDS.get(name)
    if row is None and name in (b"POST", b"HOST:"):
        return ALIEN, b""
    if row is None and name in _TRANSACTIONS:
        return (_TRANSACTIONS[name], b"") if len(args) == 1 or name == b"EXEC" else _arity(args)
    if row is None:
        if name.startswith(b"FPL."):
            return _call(None, args, resp)
        return (CALL, b"") if name in ABSENT and _may_call(args) else _error(unknown(args))
    if len(args) != row.arity if row.arity > 0 else len(args) < -row.arity:
        return _arity(args)
    if row.opcode == OP_APPEND:  # how long a value may become is agreed on with the operation: settings may differ
        row = row._replace(arg=value_bytes_max)
    return row.shape(row, args, resp)


def frees(args: list[bytes]) -> bool:
    """Is this request one that ends the refusal of all others, or the connection?"""
    return args[0].upper() in (b"RESET", b"QUIT")


def _error(text: bytes) -> Encoded:
    return REPLY, b"-%b\r\n" % text.translate(bytes.maketrans(b"\r\n", b"  "))


def unknown(args: list[bytes]) -> bytes:
    """The error for a command that there is not."""
    shown = b""
    for arg in args[1:]:
        if len(shown) >= SHOWN_BYTES_MAX:
            break
        shown += b"'%b' " % arg.partition(b"\0")[0][: SHOWN_BYTES_MAX - len(shown)]
    name = args[0].partition(b"\0")[0][:SHOWN_BYTES_MAX]
    return b"ERR unknown command '%b', with args beginning with: %b" % (name, shown)


def _arity(args: list[bytes]) -> Encoded:
    return _error(b"ERR wrong number of arguments for '%b' command" % args[0].lower())


def _bad_time(args: list[bytes]) -> Encoded:
    return _error(b"ERR invalid expire time in '%b' command" % args[0].lower())


def _operation(opcode: int, flags: int, arg: int, items: list[tuple[bytes, bytes]]) -> Encoded:
    return READ if is_read(opcode) else WRITE, op_encode(opcode, flags, arg, items)


def _keys(row: Command, args: list[bytes], _: int) -> Encoded:
    return _operation(row.opcode, row.flags, row.arg, [(key, b"") for key in args[1:]])


def _pairs(row: Command, args: list[bytes], _: int) -> Encoded:
    if len(args) % 2 == 0:
        return _arity(args)
    return _operation(
        row.opcode, row.flags, row.arg, list(zip(args[1::2], args[2::2], strict=True))
    )


def _number(row: Command, args: list[bytes], _: int) -> Encoded:
    number = parse_integer(args[2])
    if number is None:
        return _error(ERR_INTEGER)
    if row.arg < 0 and number == INTEGER_MIN:
        return _error(ERR_DECREMENT)
    return _operation(row.opcode, row.flags, number * row.arg, [(args[1], b"")])


def _time(text: bytes, unit: int, flag: int, least: int) -> tuple[int, int]:
    # The time in ms, and what is wrong with it, else 0. `flag`: FLAG_RELATIVE or FLAG_ABSOLUTE.
    number = parse_integer(text)
    if number is None:
        return 0, MISTAKE_INTEGER
    if number < least or number * unit > (TTL_MS_MAX if flag == FLAG_RELATIVE else INTEGER_MAX):
        return 0, MISTAKE_TIME
    return number * unit, 0


def _lifetime(args: list[bytes], text: bytes, unit: int, flag: int, least: int) -> int | Encoded:
    # The time in ms, or the error.
    ms, mistake = _time(text, unit, flag, least)
    if mistake:
        return _error(ERR_INTEGER) if mistake == MISTAKE_INTEGER else _bad_time(args)
    return ms


def _setex(row: Command, args: list[bytes], _: int) -> Encoded:
    time = _lifetime(args, args[2], row.arg, FLAG_RELATIVE, 1)
    return (
        time
        if isinstance(time, tuple)
        else _operation(OP_SET, FLAG_RELATIVE, time, [(args[1], args[3])])
    )


def _option(arg: bytes) -> bytes:
    # Redis compares options as strings of C, which end at a NUL.
    return arg.partition(b"\0")[0].upper()


_TIMES = {
    b"EX": (FLAG_RELATIVE, 1000),
    b"PX": (FLAG_RELATIVE, 1),
    b"EXAT": (FLAG_ABSOLUTE, 1000),
    b"PXAT": (FLAG_ABSOLUTE, 1),
}


def _set(row: Command, args: list[bytes], _: int) -> Encoded:
    return _options(OP_SET, args, 3, (args[1], args[2]))


def _getex(row: Command, args: list[bytes], _: int) -> Encoded:
    if len(args) == 2:
        return _operation(OP_GET, 0, 0, [(args[1], b"")])
    return _options(OP_GETEX, args, 2, (args[1], b""))


def _options(opcode: int, args: list[bytes], at: int, item: tuple[bytes, bytes]) -> Encoded:
    # The options of SET and GETEX. One that gives a time may be repeated, the last one counts; any
    # other way of saying two things about the deadline is a mistake.
    flags = arg = 0
    said = text = b""  # the option about the deadline, and its time
    while at < len(args):
        option = _option(args[at])
        at += 1
        if option in _TIMES and said in (b"", option) and at < len(args):
            said, text = option, args[at]
            at += 1
        elif opcode == OP_GETEX and option == b"PERSIST" and said in (b"", option):
            said = option
        elif opcode == OP_SET and option == b"KEEPTTL" and said in (b"", option):
            said = option
            flags |= FLAG_KEEP
        elif opcode == OP_SET and option == b"NX" and not flags & FLAG_XX:
            flags |= FLAG_NX
        elif opcode == OP_SET and option == b"XX" and not flags & FLAG_NX:
            flags |= FLAG_XX
        elif opcode == OP_SET and option == b"GET":
            flags |= FLAG_GET
        else:
            return _error(ERR_SYNTAX)
    if said in _TIMES:
        flag, unit = _TIMES[said]
        if opcode == OP_GETEX:
            arg, mistake = _time(text, unit, flag, 1)
            if mistake:  # but a key that is missing is noticed first
                return _operation(OP_GET, 0, mistake, [item])
            return _operation(opcode, flag, arg, [item])
        time = _lifetime(args, text, unit, flag, 1)
        if isinstance(time, tuple):
            return time
        flags, arg = flags | flag, time
    return _operation(opcode, flags, arg, [item])


_CONDITIONS = {b"NX": FLAG_NX, b"XX": FLAG_XX, b"GT": FLAG_GT, b"LT": FLAG_LT}


def _expire(row: Command, args: list[bytes], _: int) -> Encoded:
    conditions = 0
    for arg in args[3:]:
        if _option(arg) not in _CONDITIONS:
            return _error(b"ERR Unsupported option " + arg.partition(b"\0")[0].rstrip(b"\r\n"))
        conditions |= _CONDITIONS[_option(arg)]
    if conditions & FLAG_NX and conditions != FLAG_NX:
        return _error(ERR_NX)
    if conditions & FLAG_GT and conditions & FLAG_LT:
        return _error(ERR_GT)
    time = _lifetime(args, args[2], row.arg, row.flags, -(-INTEGER_MIN // row.arg))
    if isinstance(time, tuple):
        return time
    return _operation(OP_EXPIRE, row.flags | conditions, time, [(args[1], b"")])


def _flush(row: Command, args: list[bytes], _: int) -> Encoded:
    if len(args) > 2 or (len(args) == 2 and _option(args[1]) not in (b"ASYNC", b"SYNC")):
        return _error(ERR_SYNTAX)
    return _operation(OP_FLUSH, 0, 0, [])


def _ping(row: Command, args: list[bytes], resp: int) -> Encoded:
    if len(args) > 2:
        return _arity(args)
    return (REPLY, b"+PONG\r\n") if len(args) == 1 else _echo(row, args, resp)


def _echo(row: Command, args: list[bytes], _: int) -> Encoded:
    return REPLY, b"$%d\r\n%b\r\n" % (len(args[1]), args[1])


def _may_call(args: list[bytes]) -> bool:
    return len(args) <= CALL_ARGUMENTS_MAX and sum(map(len, args)) <= CALL_BYTES_MAX


def _call(_row: Command | None, args: list[bytes], _: int) -> Encoded:
    return (CALL, b"") if _may_call(args) else _error(ERR_CALL)


_TRANSACTIONS = {b"MULTI": MULTI, b"EXEC": EXEC, b"DISCARD": DISCARD}

COMMANDS: dict[bytes, Command] = {
    b"GET": Command(2, _keys, OP_GET),
    b"MGET": Command(-2, _keys, OP_MGET),
    b"EXISTS": Command(-2, _keys, OP_EXISTS),
    b"TOUCH": Command(-2, _keys, OP_EXISTS),
    b"STRLEN": Command(2, _keys, OP_STRLEN),
    b"TYPE": Command(2, _keys, OP_TYPE),
    b"TTL": Command(2, _keys, OP_TTL, 0, 1000),
    b"PTTL": Command(2, _keys, OP_TTL, 0, 1),
    b"EXPIRETIME": Command(2, _keys, OP_TTL, FLAG_ABSOLUTE, 1000),
    b"PEXPIRETIME": Command(2, _keys, OP_TTL, FLAG_ABSOLUTE, 1),
    b"DBSIZE": Command(1, _keys, OP_DBSIZE),
    b"SET": Command(-3, _set),
    b"SETEX": Command(4, _setex, OP_SET, 0, 1000),
    b"PSETEX": Command(4, _setex, OP_SET, 0, 1),
    b"GETSET": Command(3, _pairs, OP_SET, FLAG_GET),
    b"SETNX": Command(3, _pairs, OP_SETNX),
    b"MSET": Command(-3, _pairs, OP_MSET),
    b"MSETNX": Command(-3, _pairs, OP_MSETNX),
    b"APPEND": Command(3, _pairs, OP_APPEND),
    b"DEL": Command(-2, _keys, OP_DEL),
    b"UNLINK": Command(-2, _keys, OP_DEL),
    b"GETDEL": Command(2, _keys, OP_GETDEL),
    b"GETEX": Command(-2, _getex),
    b"INCR": Command(2, _keys, OP_INCRBY, 0, 1),
    b"DECR": Command(2, _keys, OP_INCRBY, 0, -1),
    b"INCRBY": Command(3, _number, OP_INCRBY, 0, 1),
    b"DECRBY": Command(3, _number, OP_INCRBY, 0, -1),
    b"EXPIRE": Command(-3, _expire, OP_EXPIRE, FLAG_RELATIVE, 1000),
    b"PEXPIRE": Command(-3, _expire, OP_EXPIRE, FLAG_RELATIVE, 1),
    b"EXPIREAT": Command(-3, _expire, OP_EXPIRE, FLAG_ABSOLUTE, 1000),
    b"PEXPIREAT": Command(-3, _expire, OP_EXPIRE, FLAG_ABSOLUTE, 1),
    b"PERSIST": Command(2, _keys, OP_PERSIST),
    b"FLUSHALL": Command(-1, _flush, OP_FLUSH),
    b"FLUSHDB": Command(-1, _flush, OP_FLUSH),
    b"PING": Command(-1, _ping),
    b"ECHO": Command(2, _echo),
    **dict.fromkeys(
        b"HELLO AUTH QUIT SELECT CLIENT COMMAND CONFIG INFO CLUSTER READONLY READWRITE ROLE WAIT".split(),
        Command(-1, _call),
    ),
    b"RESET": Command(1, _call),  # with any more it must not end the refusal after MULTI
}
