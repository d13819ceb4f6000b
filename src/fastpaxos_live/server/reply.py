"""Replies of the commands that Python answers, in RESP2 and RESP3.

Handlers return plain values: None, bool, int, str and bytes (bulk strings), list or tuple (array),
dict (map), frozenset (set), and the kinds below. They raise CommandError for an error reply.
"""


class Simple(str):
    """A simple string, such as OK."""


class Verbatim(str):
    """Text for people: marked as such in RESP3, a bulk string in RESP2."""


class Members(list):
    """A set whose members are in this order, or can't be hashed."""


class Encoded(bytes):
    """A reply that is encoded already."""


class CommandError(Exception):
    """An error reply; the text is what the client sees, its code first ("ERR ...")."""


OK = Simple("OK")


def encode_text(text: str) -> bytes:
    """The bytes that a text was made from: of a client, or of a path, whatever they were."""
    return text.encode("utf-8", "surrogateescape")


def encode_error(text: str) -> bytes:
    """An error reply: always one line, whatever the client sent into it."""
    return b"-%s\r\n" % encode_text(text).replace(b"\r", b" ").replace(b"\n", b" ")


def encode(value: object, resp: int) -> bytes:
    """`value` as a reply for a client that speaks RESP `resp` (2 or 3)."""
    match value:
        case None:
            return b"_\r\n" if resp == 3 else b"$-1\r\n"
        case bool():
            return (b"#t\r\n" if value else b"#f\r\n") if resp == 3 else b":%d\r\n" % value
        case int():
            return b":%d\r\n" % value
        case Simple():
            return b"+%s\r\n" % encode_text(value)
        case Verbatim() if resp == 3:
            text = encode_text(value)
            return b"=%d\r\ntxt:%s\r\n" % (len(text) + 4, text)
        case str():
            return encode(encode_text(value), resp)
        case Encoded():
            return bytes(value)
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(value), value)
        case dict():
            head = b"%%%d\r\n" % len(value) if resp == 3 else b"*%d\r\n" % (2 * len(value))
            pairs = (encode(key, resp) + encode(item, resp) for key, item in value.items())
            return head + b"".join(pairs)
        case frozenset() | Members():
            head = b"~" if resp == 3 else b"*"
            members = value if isinstance(value, Members) else sorted(value)
            return head + b"%d\r\n" % len(value) + join(members, resp)
        case list() | tuple():
            return b"*%d\r\n" % len(value) + join(value, resp)
    raise TypeError(f"no reply can hold a {type(value).__name__}")


def join(values: list | tuple, resp: int) -> bytes:
    return b"".join(encode(value, resp) for value in values)
