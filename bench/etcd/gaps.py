"""How long nobody can write when the leader goes: killed, or frozen.

Writers put through the JSON gateway that both servers have, several to each member, one request after the other. The
gap is the longest time between two acknowledged puts around the event: what a user sees who asks any member that lives.
"""

import http.client
import signal
import threading
import time

WRITERS_A_MEMBER = 2
REQUEST_TIMEOUT_S = 0.25  # then it asks again: also when the answer of a frozen member does not come
PUT = b'{"key":"Z2Fw","value":"dg=="}'


class Writers:
    def __init__(self, cluster):
        self.acknowledged = []  # times, appended by all writers
        self.stopping = False
        self.threads = [threading.Thread(target=self.write, args=(member.endpoint,), daemon=True)
                        for member in cluster.members for _ in range(WRITERS_A_MEMBER)]
        for thread in self.threads:
            thread.start()

    def write(self, endpoint):
        connection = None
        while not self.stopping:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(endpoint, timeout=REQUEST_TIMEOUT_S)
                connection.request("POST", "/v3/kv/put", PUT)
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.acknowledged.append(time.monotonic())
                else:
                    time.sleep(0.005)
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.005)

    def gap_around(self, event, until):
        times = sorted(t for t in list(self.acknowledged) if event - 0.5 <= t <= until)
        if len(times) < 2:
            return until - event
        return max(later - earlier for earlier, later in zip(times, times[1:]))

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def wait_for_writes(writers, after, timeout_s):
    """Until writes flow again for a while, so that the gap is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        recent = [t for t in writers.acknowledged[-200:] if t > after]
        if len(recent) >= 100:
            return
        time.sleep(0.02)


def measure(cluster, freeze, times, say):
    """The gaps in seconds, sorted."""
    writers = Writers(cluster)
    gaps = []
    try:
        for i in range(times):
            cluster.wait_until_whole()
            time.sleep(0.5)
            leader = cluster.leader()
            event = time.monotonic()
            if freeze:
                leader.process.send_signal(signal.SIGSTOP)
            else:
                leader.kill()
            wait_for_writes(writers, event + 0.05, 20)
            gaps.append(writers.gap_around(event, time.monotonic()))
            if freeze:
                leader.process.send_signal(signal.SIGCONT)
            else:
                leader.start()
            writers.acknowledged = writers.acknowledged[-1000:]
            say(f"{'freeze' if freeze else 'kill'} {i + 1} of {times}: {gaps[-1] * 1000:.0f} ms")
    finally:
        writers.stop()
    return sorted(gaps)
