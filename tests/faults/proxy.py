"""A proxy on the links between members: for each direction of each pair a port of its own, and what may happen there.

Members talk over TCP and TLS, so within one connection bytes can be late, stand still or end, but neither change places
nor come twice. Between connections they can, and that is what `lingering` makes: the sender sees its connection end,
makes a new one and sends again, while what the old one still held arrives late, beside the new one.

    delay_s, jitter_s   each piece is late by that much, in order
    stalled             nothing moves; nobody is told
    half_open           what is sent is swallowed; the other direction lives
    cut()               all connections end now
    lingering_s         cut() ends the sender's side at once, and the receiver's only after what was held arrived, late
"""

import asyncio
import dataclasses
import itertools
import random
import threading

import sandbox

PIECE_BYTES_MAX = 64 << 10
BUFFERED_BYTES_MAX = 4 << 20


@dataclasses.dataclass
class Weather:
    delay_s: float = 0.0
    jitter_s: float = 0.0
    lingering_s: float = 0.0
    stalled: bool = False
    half_open: bool = False


class Held:
    """What was taken from a sender and not given to the receiver yet; bounded, so that a slow link slows its sender."""

    def __init__(self):
        self.pieces = asyncio.Queue()
        self.bytes = 0
        self.nobody_reads = False

    async def put(self, due, piece):
        while self.bytes > BUFFERED_BYTES_MAX and not self.nobody_reads:
            await asyncio.sleep(0.01)
        self.bytes += len(piece)
        await self.pieces.put((due, piece))

    async def get(self):
        due, piece = await self.pieces.get()
        self.bytes -= len(piece)
        return due, piece


class Link:
    """Connections that one member makes to another."""

    def __init__(self, proxy, sender, receiver):
        self.proxy = proxy
        self.sender, self.receiver = sender, receiver
        self.weather = Weather()
        self.connections = set()

    async def serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(sandbox.address_of(self.receiver), sandbox.PEER_PORT)
        except OSError:
            writer.transport.abort()
            return
        connection = (writer, far_writer)
        self.connections.add(connection)
        forth = asyncio.create_task(self.carry(reader, far_writer, True))
        back = asyncio.create_task(self.carry(far_reader, writer, False))
        await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
        if self.weather.lingering_s:
            await asyncio.wait((forth,), timeout=self.weather.lingering_s * 2)
        for task in (forth, back):
            task.cancel()
        for end in connection:
            end.transport.abort()
        self.connections.discard(connection)

    async def carry(self, reader, writer, forth):
        """Bytes of one direction, in order."""
        held = Held()
        deliver = asyncio.create_task(self.deliver(held, writer))
        try:
            await self.take(reader, held, forth)
            await deliver
        finally:
            deliver.cancel()

    async def take(self, reader, held, forth):
        loop = asyncio.get_running_loop()
        try:
            while piece := await reader.read(PIECE_BYTES_MAX):
                weather = self.weather
                if weather.half_open and forth:
                    continue
                await held.put(loop.time() + weather.delay_s + random.random() * weather.jitter_s, piece)
        except OSError:
            pass
        if forth and self.weather.lingering_s:
            await asyncio.sleep(self.weather.lingering_s)
        await held.put(loop.time(), b"")

    async def deliver(self, held, writer):
        """Until the end, or until nobody takes it any more."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, piece = await held.get()
                while self.weather.stalled:
                    await asyncio.sleep(0.02)
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            held.nobody_reads = True

    def cut(self):
        for near, far in list(self.connections):
            near.transport.abort()
            if not self.weather.lingering_s:
                far.transport.abort()


class Proxy:
    """All links between these members. Runs in a thread of its own."""

    ports = itertools.count(20000)

    def __init__(self, numbers):
        self.links = {}
        self.servers = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        for sender in numbers:
            for receiver in numbers:
                if sender == receiver:
                    continue
                link = self.links[sender, receiver] = Link(self, sender, receiver)
                port = next(self.ports)
                self.servers.append(self.call(asyncio.start_server(link.serve, sandbox.HOME, port)))
                sandbox.lead_through(sender, receiver, port)

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def set(self, pairs=None, **weather):
        for pair in pairs or self.links:
            self.links[pair].weather = Weather(**weather)

    def cut(self, pairs=None):
        async def cut_them():
            for pair in pairs or self.links:
                self.links[pair].cut()
        self.call(cut_them())

    def clear(self):
        self.set()

    def close(self):
        async def stop():
            for server in self.servers:
                server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.call(stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
