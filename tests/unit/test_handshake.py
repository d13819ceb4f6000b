"""The handshake of two replicas."""

import contextlib
from collections.abc import Callable

import pytest

from fastpaxos_live.log.handshake import (
    NONCE_BYTES,
    SECRET_BYTES,
    TEXT_BYTES_MAX,
    Greeter,
    Handshake,
    Hello,
    Refused,
    Terms,
    handshake_key,
    short_frame,
    table_hash_seed,
)
from fastpaxos_live.reference.log_frame import (
    BEAT,
    CHALLENGE,
    HEADER_BYTES,
    HELLO,
    PROOF,
    frame_decode,
    frame_encode,
)

CELL = 0x1122334455667788
SECRET = bytes(range(SECRET_BYTES))
NAMES = ("first", "second", "third")
TERMS = Terms(CELL, NAMES, handshake_key(CELL, SECRET), {"fsync": "always", "slots": "128"})
CALL = Hello(CELL, 1, "first", 3, TERMS.said(), channel=1, counter=(5 << 32) + 1, called=2)
NONCES = [bytes([number]) * NONCE_BYTES for number in range(1, 20)]


def greeter(own: int = 2, **changes: object) -> Greeter:
    return Greeter(TERMS._replace(**changes), own, 1)


def deliver(handshake: Handshake, data: bytes, size: int = 1 << 20) -> bytes:
    """Feeds pieces of at most `size` bytes, as a socket would."""
    said = b""
    while data and handshake.wanted:
        piece, data = data[: min(size, handshake.wanted)], data[min(size, handshake.wanted) :]
        said += handshake.feed(piece)
    return said


Change = Callable[[int, bytes], bytes]


def talk(
    caller: Handshake, called: Handshake, change: Change = lambda _, said: said, size: int = 1 << 20
) -> list[bytes]:
    """Until nobody says anything; `change` is asked what of each message, by its number, arrives. Returns all of them.

    Raises Refused.
    """
    messages: list[bytes] = []
    said, sides = caller.begin(), [called, caller]
    while said:
        messages.append(said)
        said = deliver(sides[0], change(len(messages) - 1, said), size)
        sides.reverse()
    return messages


def pair(one: Greeter, other: Greeter, called: int = 2, counter: int = 7) -> tuple[Handshake, Handshake]:
    return one.call(called, 1, counter, NONCES[0]), other.answer(NONCES[1])


@pytest.mark.parametrize("size", [1, 63, 64, 1 << 20])
def test_both_sides_learn_who_the_other_is(size: int) -> None:
    caller, called = pair(greeter(1), greeter(2))
    messages = talk(caller, called, size=size)
    assert [message[13] for message in messages] == [CHALLENGE, CHALLENGE, PROOF, HELLO, HELLO]
    assert called.peer == Hello(CELL, 1, "first", 1, TERMS.said(), channel=1, counter=7, called=2)
    assert caller.peer == Hello(CELL, 2, "second", 1, TERMS.said())
    assert caller.wanted == called.wanted == 0 and caller.proved and called.proved
    greeter(1).accept(caller.peer, dialled=2)
    greeter(2).accept(called.peer)


def test_nothing_is_said_before_the_other_side_has_proved() -> None:
    caller, called = pair(greeter(1), greeter(2))
    messages = talk(caller, called)
    for message, nonce in zip(messages[:2], NONCES, strict=False):
        assert message == frame_encode(0, CHALLENGE, 0, 0, payload=nonce)
    assert messages[2] == frame_encode(0, PROOF, 0, 0, payload=messages[2][HEADER_BYTES:])
    for message in messages[:3]:
        assert CELL.to_bytes(8, "little") not in message
        assert not any(name.encode() in message for name in NAMES)
    assert CELL.to_bytes(8, "little") in messages[3] and b"second" in messages[3]
    assert not any(SECRET in message or TERMS.key in message for message in messages)


def test_who_has_proved_is_known_at_once() -> None:
    caller, called = pair(greeter(1), greeter(2))
    challenge = deliver(called, caller.begin())
    assert not called.proved
    proof = deliver(caller, challenge)
    hello = deliver(called, proof)
    assert called.proved and not caller.proved
    deliver(caller, hello[:-1])
    assert not caller.proved
    deliver(caller, hello[-1:])
    assert caller.proved


# --- what does not come through
WHOLE = talk(*pair(greeter(1), greeter(2)))


def reseal(frame: bytes) -> bytes:
    """As somebody would who can compute a checksum but no proof."""
    head = (int.from_bytes(frame[at:end], "little") for at, end in ((24, 32), (32, 40), (40, 48), (48, 56), (56, 64)))
    number, instance, mark, sent, extra = head
    return frame_encode(
        0, frame[13], frame[14], int.from_bytes(frame[20:22], "little"), number, instance, mark, sent, extra, frame[15],
        frame[HEADER_BYTES:],
    )  # fmt: skip


@pytest.mark.parametrize("value", ["always\r", "al\x1b[2Jways", "always\u2028x", "always\0"])
def test_what_would_spoil_a_line_for_operators_is_not_shown(value: str) -> None:
    """Also of one who knows the secret."""
    caller, called = greeter(1), greeter(2, settings={**TERMS.settings, "fsync": value})
    with pytest.raises(Refused, match="its HELLO is damaged"):
        talk(*pair(caller, called))


@pytest.mark.parametrize("sealed", [False, True], ids=["damaged", "forged"])
@pytest.mark.parametrize("at", range(5))
def test_every_byte_of_every_message_counts(at: int, sealed: bool) -> None:
    tried = 0
    for offset in range(len(WHOLE[at])):
        changed = bytearray(WHOLE[at])
        changed[offset] ^= 0x40
        arrives = reseal(bytes(changed)) if sealed else bytes(changed)
        if arrives == WHOLE[at]:
            continue  # what is computed anew: checksums, version, length
        tried += 1
        caller, called = pair(greeter(1), greeter(2))
        with contextlib.suppress(Refused):
            talk(caller, called, lambda number, said, arrives=arrives: arrives if number == at else said)
        assert called.peer is None, offset
        assert at == 4 or caller.peer is None, offset
    assert tried >= len(WHOLE[at]) - HEADER_BYTES


def test_truncated_at_any_byte_it_waits() -> None:
    for at, message in enumerate(WHOLE):
        for cut in (0, 1, HEADER_BYTES - 1, HEADER_BYTES, len(message) - 1):
            caller, called = pair(greeter(1), greeter(2))
            talk(caller, called, lambda number, said, at=at, cut=cut: said[:cut] if number == at else said)
            assert called.peer is None and called.wanted


@pytest.mark.parametrize("own", ["caller", "called"])
@pytest.mark.parametrize(
    ("garbage", "text"),
    [
        (b"GET / HTTP/1.1\r\n".ljust(HEADER_BYTES), "does not speak the protocol"),
        (b"\x16\x03\x01" + bytes(61), "does not speak the protocol"),
        (bytes(HEADER_BYTES), "does not speak the protocol"),
        (b"\xff" * HEADER_BYTES, "does not speak the protocol"),
        (frame_encode(CELL, BEAT, 1, 1), "something else than a CHALLENGE"),
        (short_frame(PROOF, bytes(32)), "something else than a CHALLENGE"),
        (short_frame(CHALLENGE, bytes(31)), "something else than a CHALLENGE"),
        (short_frame(CHALLENGE, bytes(33)), "something else than a CHALLENGE"),
        (frame_encode(0, CHALLENGE, 1, 0, payload=bytes(32)), "its CHALLENGE is damaged"),
        (frame_encode(0, CHALLENGE, 0, 0, extra=1, payload=bytes(32)), "its CHALLENGE is damaged"),
        (frame_encode(0, HELLO, 1, 1, instance=1, extra=CELL, payload=b"first"), "older version"),
    ],
)
def test_what_is_no_handshake_is_refused_when_its_header_is_there(own: str, garbage: bytes, text: str) -> None:
    handshake = pair(greeter(1), greeter(2))[own == "called"]
    with pytest.raises(Refused, match=text):
        while garbage:
            size = handshake.wanted
            handshake.feed(garbage[:size])
            garbage = garbage[size:]
    assert handshake.peer is None


def test_a_later_version_is_named() -> None:
    newer = bytearray(short_frame(CHALLENGE, NONCES[0]))
    newer[12] = 2
    with pytest.raises(Refused, match="protocol version 2, this program speaks 1"):
        deliver(greeter(2).answer(NONCES[1]), bytes(newer))


def test_a_hello_has_a_bound() -> None:
    caller, called = pair(greeter(1), greeter(2))
    long = frame_encode(0, HELLO, 1, 1, payload=bytes(TEXT_BYTES_MAX + 33))
    with pytest.raises(Refused, match="something else than a HELLO"):
        talk(caller, called, lambda number, said: long[:HEADER_BYTES] if number == 4 else said)


def test_the_longest_configuration_has_a_hello() -> None:
    names = tuple(f"{number}" * 64 for number in range(1, 10))
    ends = [Greeter(TERMS._replace(names=names), own, 1) for own in (1, 2)]
    caller, called = pair(*ends)
    talk(caller, called)
    ends[0].accept(caller.peer, 2)
    ends[1].accept(called.peer)


# --- strangers
def other_key(*, without: bool) -> bytes:
    return handshake_key(CELL, None if without else SECRET[::-1])


@pytest.mark.parametrize("without", [False, True], ids=["another secret", "no secret"])
def test_a_caller_that_does_not_know_the_secret_learns_nothing(without: bool) -> None:
    caller, called = pair(greeter(1, key=other_key(without=without)), greeter(2))
    proof = deliver(caller, deliver(called, caller.begin()))
    with pytest.raises(Refused, match="does not know this cell's secret"):
        deliver(called, proof)
    assert called.peer is None and not called.proved
    assert caller.end_text().startswith("it does not accept this replica's proof")


@pytest.mark.parametrize("without", [False, True], ids=["another secret", "no secret"])
def test_one_that_answers_and_does_not_know_the_secret_learns_nothing(without: bool) -> None:
    """It believes the caller, whatever that one says: its HELLO is made by other rules than a replica's."""
    caller, _ = pair(greeter(1), greeter(2))
    deceived, other = pair(*(greeter(own, key=other_key(without=without)) for own in (1, 2)))
    hello = talk(deceived, other)[3]
    assert deliver(caller, short_frame(CHALLENGE, NONCES[1]))
    with pytest.raises(Refused, match="does not know this cell's secret"):
        deliver(caller, hello)
    assert caller.peer is None


def test_without_a_secret_the_cells_still_differ() -> None:
    assert handshake_key(1, None) != handshake_key(2, None) != handshake_key(2, SECRET)
    open_ends = [greeter(own, key=handshake_key(CELL, None)) for own in (1, 2)]
    caller, called = pair(*open_ends)
    talk(caller, called)
    assert called.peer and caller.peer


def test_what_was_heard_is_of_no_use_later() -> None:
    called = greeter(2).answer(NONCES[2])
    assert deliver(called, WHOLE[0])
    with pytest.raises(Refused, match="secret"):
        deliver(called, WHOLE[2])
    caller = greeter(1).call(2, 1, 7, NONCES[3])
    assert deliver(caller, WHOLE[1])
    with pytest.raises(Refused, match="secret"):
        deliver(caller, WHOLE[3])


def test_the_last_word_of_another_handshake_is_of_no_use() -> None:
    caller, called = greeter(1).call(2, 1, 8, NONCES[2]), greeter(2).answer(NONCES[3])
    with pytest.raises(Refused, match="secret"):
        talk(caller, called, lambda number, said: WHOLE[4] if number == 4 else said)


def test_reflected_words_prove_nothing() -> None:
    """To the caller, its own words; to the one called, what a second one, or the first, asked the other way says."""
    caller = greeter(1).call(2, 1, 7, NONCES[0])
    proof = deliver(caller, caller.begin())
    with pytest.raises(Refused, match="something else than a HELLO"):
        deliver(caller, proof)

    called, second = greeter(2).answer(NONCES[1]), greeter(2).answer(NONCES[1])
    challenge = deliver(called, short_frame(CHALLENGE, NONCES[1]))
    assert deliver(second, challenge) == challenge
    with pytest.raises(Refused, match="something else than a PROOF"):
        deliver(called, challenge)


def test_the_hello_of_one_side_is_not_that_of_the_other() -> None:
    caller, called = pair(greeter(1), greeter(2))
    with pytest.raises(Refused, match="secret"):
        talk(caller, called, lambda number, said: WHOLE[3] if number == 4 else said)


def test_the_roles_are_not_interchangeable() -> None:
    """With the same nonces, what proves one side does not prove the other one, nor one message another."""
    caller, called = pair(greeter(1), greeter(2))
    messages = talk(caller, called)
    proofs = {message[-32:] for message in messages[2:]}
    assert len(proofs) == 3
    for at, other in ((2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)):
        caller, called = pair(greeter(1), greeter(2))
        forged = reseal(messages[at][:-32] + messages[other][-32:])
        with pytest.raises(Refused, match="secret"):
            talk(caller, called, lambda number, said, at=at, forged=forged: forged if number == at else said)


def test_a_call_that_is_passed_on_to_another_replica_is_refused_by_both() -> None:
    """As by somebody who answers at the address of a replica that is down."""
    first, third = greeter(1), greeter(3)
    caller, called = pair(first, third)
    talk(caller, called)
    with pytest.raises(Refused, match="reached replica third, want second"):
        first.accept(caller.peer, dialled=2)
    with pytest.raises(Refused, match="first called replica 2, this is 3"):
        third.accept(called.peer)


# --- who may speak
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cell_id": 8}, f"cell mismatch: got 8, want {CELL}"),
        ({"name": "r5x"}, r"unknown replica 'r5x' \(id 1\), expected one of \[first \(id 1\), second"),
        ({"replica": 9}, r"unknown replica 'first' \(id 9\)"),
        ({"replica": 0}, "unknown replica"),
        ({"channel": 2}, "unknown channel 2"),
        ({"replica": 3, "name": "third"}, "the lower id calls"),
        ({"replica": 2, "name": "second"}, "it is second, as this replica: two run"),
        ({"called": 3}, "first called replica 3, this is 2"),
        ({"counter": (1 << 64) - 1}, "no directory was started so often"),
        ({"counter": 1 << 63}, "no directory was started so often"),
    ],
)
def test_a_caller_that_does_not_belong_here(change: dict[str, object], text: str) -> None:
    judge = greeter()
    with pytest.raises(Refused, match=text):
        judge.accept(CALL._replace(**change))
    judge.accept(CALL)  # nothing is remembered of who was refused


@pytest.mark.parametrize("dialled", [None, 1])
@pytest.mark.parametrize("key", ["members", "fsync", "slots"])
def test_what_safety_rests_on_is_the_same_on_both_sides(key: str, dialled: int | None) -> None:
    other = TERMS.said() | {key: "another"}
    with pytest.raises(Refused) as caught:
        greeter(3 if dialled else 2).accept(CALL._replace(settings=other), dialled)
    assert str(caught.value) == f"{key} mismatch: first has another, this replica has {TERMS.said()[key]}"
    del other[key]
    with pytest.raises(Refused) as caught:
        greeter(2).accept(CALL._replace(settings=other))
    assert str(caught.value) == f"first does not say what it has for {key} (here it is {TERMS.said()[key]})"
    greeter(2).accept(CALL._replace(settings=TERMS.said() | {"of a later version": "1"}))


def test_reaching_another_replica_than_the_one_called() -> None:
    with pytest.raises(Refused, match="reached replica first, want third"):
        greeter().accept(CALL, dialled=3)


def test_the_newest_connection_of_a_channel_wins() -> None:
    judge = greeter()
    judge.accept(CALL)
    judge.accept(CALL._replace(channel=0))
    with pytest.raises(Refused, match="not newer"):
        judge.accept(CALL)
    with pytest.raises(Refused, match="not newer"):
        judge.accept(CALL._replace(counter=1 << 32))
    judge.accept(CALL._replace(counter=6 << 32))


def test_an_older_incarnation_is_refused() -> None:
    judge = greeter()
    judge.accept(CALL)
    with pytest.raises(Refused, match="wrong incarnation of first: got 2, want 3"):
        judge.accept(CALL._replace(incarnation=2, counter=9 << 32))


# --- what else the secret is for
def test_the_seed_of_the_table_is_secret_if_the_cell_has_a_secret() -> None:
    seeds = {table_hash_seed(CELL, SECRET), table_hash_seed(CELL, SECRET[::-1]), table_hash_seed(CELL, None)}
    assert len(seeds) == 3 and all(0 <= seed < 1 << 64 for seed in seeds)
    assert table_hash_seed(CELL, None) == CELL
    assert table_hash_seed(CELL + 1, SECRET) == table_hash_seed(CELL, SECRET)


def test_messages_are_frames() -> None:
    for message in WHOLE:
        frame_decode(0, message, 0, len(message))
