"""What the demo leaves running for a look around, and how it is ended: by the next run, or by --stop."""

import json
import os
import pathlib
import signal
import time

from cluster import say

FILE = "left-running.json"


def leave(folder, cluster, services, databases, programs):
    cluster.leave_running = services.leave_running = True
    processes = [member.process for member in cluster.members] + [service.process for service in services.values()]
    (folder / FILE).write_text(json.dumps({str(process.pid): os.readlink(f"/proc/{process.pid}/exe") for process in processes}))
    node, order = cluster.members[0].endpoint, services["order"].address
    item = databases["stock"].read(["SELECT item FROM items WHERE available > 0 ORDER BY item"])[0][0][0]
    say(f"""
The node and the shop stay. What to try next:
  curl -s {order}/orders -H 'Idempotency-Key: mine-1' -d '{{"buyer":"buyer-001","item":"{item}","quantity":1,"cents":465}}'
  curl -s -X POST {order}/orders/NUMBER/payment -H 'Idempotency-Key: mine-1-pay'      # within {services.pay_within_s} s, or it is released
  curl -s {services["stock"].address}/items/{item}; curl -s {services["payment"].address}/accounts/buyer-001
  curl -s '{node}/v1/transactions?limit=5'
  curl -s {services["mail"].address}/mails/NUMBER
  {programs}/lockstep --endpoints {node} tx show place-NUMBER
  {programs}/lockstep --endpoints {node} topic show shop/orders
  ./do demo --cluster              the same on three nodes, killing the leader
  ./do demo -- --stop              ends them; data and logs are in {folder}""")


def end(folder):
    """Ends the processes that a run left there: those whose numbers still belong to the same programs."""
    try:
        left = json.loads((pathlib.Path(folder) / FILE).read_text())
    except (OSError, ValueError):
        return
    for pid, program in left.items():
        try:
            if os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)") == program:
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass  # it has gone
    (pathlib.Path(folder) / FILE).unlink()
    time.sleep(0.1)
