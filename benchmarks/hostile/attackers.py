"""What hostile clients do with messages. Each is a loop of one misdeed after another; counts what it heard."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import grpc
import grpc.aio

from benchmarks.hostile.mutations import mutated
from common import codec
from common.access import AUTHORIZATION
from common.errors import MessageError
from common.rpc import channel_options
from common.types import Draft, DrafterInfo, Failure, Open, SamplingParams
from common.video import VideoHeader, VideoPacket

Metadata = tuple[tuple[str, str], ...]
SIDE = 64  # pixels, of a small clip's pictures
_HEAR_S = 2.0  # how long an attacker waits for an answer to its misdeed


@dataclass
class Attack:
    """One attacker: where it strikes, what it may show and knows, its dice, its counts.

    `tokenizer_hash`, `vision_fingerprint` and `features_shape` are the target's, `folder` has odd files, `video` is a
    clip that is as it should be.
    """

    address: str
    token: str
    seed: int
    tokenizer_hash: str = ""
    vision_fingerprint: str = ""
    features_shape: tuple[int, int] = (1, 1)
    folder: str = ""
    video: str = ""
    heard: Counter[str] = field(default_factory=Counter)
    stop: bool = False

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        options = [*channel_options(), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.aio.insecure_channel(self.address, options=options)

    @property
    def metadata(self) -> Metadata:
        return ((AUTHORIZATION, f"Bearer {self.token}"),) if self.token else ()

    @property
    def session_id(self) -> str:
        """A fresh one."""
        return f"hostile-{self.chance.getrandbits(64):016x}"

    def opening(self, session_id: str = "") -> bytes:
        """A message that is as it should be."""
        drafter = DrafterInfo("hostile", self.tokenizer_hash, 1_000, 64)
        seed = self.chance.getrandbits(32)
        opening = Open(
            session_id or self.session_id, "What moves?", SamplingParams(1.0, seed=seed), 512, drafter=drafter
        )
        return codec.encode_edge_message(opening)

    def draft(self, number: int) -> bytes:
        """A draft of nonsense."""
        ids = tuple(self.chance.randrange(300) for _ in range(16))
        return codec.encode_edge_message(Draft(number, 0, 0, self.chance.getrandbits(32), ids))

    def call(self, method: str) -> grpc.aio.StreamStreamCall[bytes, bytes]:
        """A stream."""
        return self.channel.stream_stream(f"/{codec.SERVICE}/{method}")(metadata=self.metadata)

    async def say(self, call: grpc.aio.StreamStreamCall[bytes, bytes], messages: Iterable[bytes]) -> None:
        """Send all that is let through, then hear."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for message in messages:
                await call.write(message)
            await call.done_writing()
        await self.hear(call)

    async def hear(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        """Take the answer in: a failure message, a status, or silence."""
        try:
            async with asyncio.timeout(_HEAR_S):
                while (data := await call.read()) is not grpc.aio.EOF:
                    message = codec.decode_cloud_message(data)
                    if isinstance(message, Failure):
                        self.heard[f"failure {message.code.value}"] += 1
        except grpc.aio.AioRpcError as error:
            self.heard[f"status {error.code().name}"] += 1
        except (TimeoutError, MessageError):
            self.heard["nothing"] += 1
        finally:
            call.cancel()


async def fuzz(attack: Attack) -> None:
    """Messages that have been damaged, as the first or a later one of a stream."""
    good = [attack.opening(), attack.draft(1), attack.draft(9)]
    call = attack.call("Speculate")
    if attack.chance.random() < 0.5:
        await call.write(attack.opening())
    bad = [mutated(attack.chance.choice(good), attack.chance, good) for _ in range(attack.chance.randint(1, 6))]
    await attack.say(call, bad)


async def flood(attack: Attack) -> None:
    """Drafts as fast as they go, with no regard to what comes back."""
    call = attack.call("Speculate")
    await attack.say(call, itertools.chain([attack.opening()], map(attack.draft, range(1, 2_000))))


async def read_slowly(attack: Attack) -> None:
    """Opens, sends a little, and never reads; lets the stream hang, then cuts it."""
    call = attack.call("Speculate")
    await call.write(attack.opening())
    for number in range(1, 8):
        await call.write(attack.draft(number))
        await asyncio.sleep(attack.chance.uniform(0.1, 1.0))
    attack.heard["hung"] += 1
    call.cancel()


async def bomb(attack: Attack) -> None:
    """Videos that are too large, too many packets, or not what they say."""
    header = VideoHeader("h264", b"", 4_096, 4_096, 20_000, 1, 30, ahead=True)
    kind = attack.chance.randrange(3)
    messages = [codec.encode_video_header(attack.session_id, header)]
    if kind == 0:
        messages.append(b"\x1a\x00" * (1 << 20))
    for index in range(200 if kind == 1 else 5):
        noise = attack.chance.randbytes(20_000)
        messages.append(codec.encode_video_packets([VideoPacket(index, index, index, index == 0, noise)]))
    await attack.say(attack.call("StreamVideo"), messages)


async def untimely(attack: Attack) -> None:
    """Small clips whose pictures are shown at times that can't be, for a session and ahead of one."""
    ahead, call = attack.chance.random() < 0.5, attack.call("Speculate")
    session_id = attack.session_id
    await call.write(attack.opening(session_id))
    video = attack.call("StreamVideo")
    base = attack.chance.choice([(1, 1), (2**32 - 1, 1), (1, 1_000_000), (1, 10)])
    header = VideoHeader("mjpeg", b"", SIDE, SIDE, 8, *base, ahead=ahead)
    first = attack.chance.choice([10**13, -(10**13), 2**62, 2**63 - 8])
    packets = [VideoPacket(n, first + n, first + n, True, jpeg()) for n in range(8)]
    await video.write(codec.encode_video_header(attack.session_id if ahead else session_id, header, packets))
    await video.done_writing()
    await attack.hear(video)
    await attack.hear(call)


@cache
def jpeg() -> bytes:
    """A small black picture."""
    import av
    import numpy as np

    from edge.encoding import JPEG, EncoderSettings, PictureEncoder

    encoder = PictureEncoder(SIDE, SIDE, EncoderSettings(JPEG, Fraction(1)))
    return encoder.encode(av.VideoFrame.from_ndarray(np.zeros((SIDE, SIDE, 3), np.uint8), format="rgb24"), 0, 0).data


async def knock(attack: Attack) -> None:
    """A connection that speaks no HTTP/2, or says nothing at all."""
    host, _, port = attack.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    if attack.chance.random() < 0.5:
        writer.write(attack.chance.randbytes(4_096))
    try:
        async with asyncio.timeout(attack.chance.uniform(0.1, 2.0)):
            await reader.read()
    except TimeoutError:
        pass
    finally:
        writer.close()
    attack.heard["closed"] += 1


async def strange(attack: Attack) -> None:
    """Any call, without a token that is known."""
    await attack.hear(attack.call(attack.chance.choice(["Speculate", "StreamVideo"])))


async def run(attack: Attack, misdeed: Callable[[Attack], Awaitable[None]]) -> None:
    """One misdeed after another, with a breath in between, until told to stop."""
    while not attack.stop:
        try:
            await misdeed(attack)
        except (grpc.RpcError, OSError, asyncio.InvalidStateError, ExceptionGroup) as error:
            code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
            attack.heard[f"status {code}"] += 1
        attack.heard["misdeeds"] += 1
        await asyncio.sleep(attack.chance.uniform(0.0, 0.05))
    await attack.channel.close()
