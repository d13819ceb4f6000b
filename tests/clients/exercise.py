"""Run as a program under one release of redis-py: uses a cell as an application would.

exercise.py RELEASE sync|asyncio|cluster|asyncio-cluster default|2|3 PORT
"""

import asyncio
import sys
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster

HOST = "127.0.0.1"


def run_sync(client: Any, prefix: str) -> None:
    def key(name: str) -> str:
        return prefix + name

    assert client.ping()
    assert client.set(key("a"), "1")
    assert client.get(key("a")) == b"1"
    assert client.set(key("a"), "2", nx=True) is None
    assert client.set(key("a"), "2", get=True) == b"1"
    assert client.incr(key("n"), 5) == 5
    assert client.decr(key("n")) == 4
    assert client.append(key("a"), "3") == 2
    assert client.strlen(key("a")) == 2
    assert client.getdel(key("a")) == b"23"
    assert client.get(key("a")) is None
    assert client.set(key("t"), "x", ex=100)
    assert 0 < client.ttl(key("t")) <= 100
    assert client.persist(key("t"))
    assert client.ttl(key("t")) == -1
    assert client.expire(key("t"), 50)
    assert 0 < client.pttl(key("t")) <= 50_000
    assert client.type(key("t")) == b"string"
    assert client.exists(key("t"), key("none")) == 1
    assert client.mset({key("x"): "1", key("y"): "2"})
    assert client.mget(key("x"), key("none"), key("y")) == [b"1", None, b"2"]
    binary = bytes(range(256)) * 400
    assert client.set(key("binary"), binary)
    assert client.get(key("binary")) == binary
    with client.pipeline(transaction=False) as pipeline:
        for n in range(500):
            pipeline.set(key(f"p{n}"), n).get(key(f"p{n}"))
        replies = pipeline.execute()
    assert replies == [reply for n in range(500) for reply in (True, b"%d" % n)]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set(key("s"), "word").incr(key("s")).get(key("s"))
        good, error, value = pipeline.execute(raise_on_error=False)
    assert good and isinstance(error, redis.ResponseError) and value == b"word"
    try:
        client.incr(key("s"))
    except redis.ResponseError as error:
        assert "not an integer" in str(error)
    else:
        raise AssertionError("INCR of a word")
    assert client.delete(key("x"), key("y"), key("none")) == 2


async def run_asyncio(client: Any, prefix: str) -> None:
    async def one(n: int) -> None:
        key = f"{prefix}{n}"
        assert await client.set(key, n)
        assert await client.get(key) == b"%d" % n
        assert await client.incr(key) == n + 1
        assert await client.mget(key, key) == [b"%d" % (n + 1)] * 2

    assert await client.ping()
    await asyncio.gather(*(one(n) for n in range(50)))
    pipeline = client.pipeline(transaction=False)
    for n in range(500):
        pipeline.set(f"{prefix}p{n}", n).get(f"{prefix}p{n}")
    replies = await pipeline.execute()
    assert replies == [reply for n in range(500) for reply in (True, b"%d" % n)]
    assert await client.delete(f"{prefix}0", f"{prefix}none") == 1
    await client.aclose()


def main() -> None:
    release, mode, protocol, port = sys.argv[1:]
    assert redis.__version__.split(".")[0] == release, redis.__version__
    options: dict[str, Any] = {} if protocol == "default" else {"protocol": int(protocol)}
    prefix = f"{{{release}:{mode}:{protocol}:{port}}}"  # one hash slot
    if mode == "sync":
        client = redis.Redis(HOST, int(port), client_name="exercise", **options)
        assert client.info()["redis_version"].startswith("7.2")
        assert client.client_getname() in ("exercise", b"exercise")  # by protocol and release
        assert client.client_id() > 0
        assert client.dbsize() >= 0
        run_sync(client, prefix)
    elif mode == "cluster":
        cluster = redis.cluster.RedisCluster(HOST, int(port), **options)
        run_sync(cluster, prefix)
        assert len(cluster.get_nodes()) == 3
    elif mode == "asyncio":
        asyncio.run(run_asyncio(redis.asyncio.Redis(host=HOST, port=int(port), **options), prefix))
    else:

        async def run() -> None:
            cluster = redis.asyncio.cluster.RedisCluster(host=HOST, port=int(port), **options)
            await run_asyncio(cluster, prefix)

        asyncio.run(run())
    print("ok")


if __name__ == "__main__":
    main()
