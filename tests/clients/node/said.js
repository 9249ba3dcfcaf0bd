// What the scripts print: every answer of the client in one form, so that two servers can be compared line by line.
//
// Left out, because it must differ: cluster and member identities, raft terms, and lease identities, which a server
// draws.
'use strict';
const { Etcd3 } = require('etcd3');

const opened = [];

// A client; all are closed when the script ends.
function client(auth) {
  const made = new Etcd3({ hosts: process.env.ENDPOINT, auth, dialTimeout: 20000 });
  opened.push(made);
  return made;
}

function plain(value) {
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  const answer = {};
  for (const name of Object.keys(value).sort()) {
    if (['cluster_id', 'member_id', 'raft_term'].includes(name)) continue;
    answer[name] = ['lease', 'ID'].includes(name) ? value[name] !== '0' : plain(value[name]);
  }
  return answer;
}

function show(what, value) {
  console.log(`${what}: ${JSON.stringify(plain(value))}`);
}

// Prints what the call gives, or how it is refused: the client's class and the server's words.
async function attempt(what, call) {
  try {
    const result = await call();
    show(what, result === undefined ? 'done' : result);
    return result;
  } catch (refused) {
    console.log(`${what}: ${refused.constructor.name}: ${refused.message.replace(/\d{10,}/, 'ID')}`);
    return undefined;
  }
}

// Events of one watcher, in order, whatever the sizes of the answers that brought them.
class Events {
  constructor(watcher) {
    this.pending = [];
    this.waiting = null;
    for (const kind of ['put', 'delete']) {
      watcher.on(kind, (kv, before) => this.add([kind, kv, before]));
    }
    // etcd 3.4 gives no reason in words, newer ones do.
    watcher.on('error', (error) => this.add(['error', error.constructor.name, error.message.split(':')[0]]));
  }
  add(event) {
    this.pending.push(event);
    if (this.waiting) this.waiting();
    this.waiting = null;
  }
  async next() {
    while (this.pending.length === 0) await new Promise((resolve) => { this.waiting = resolve; });
    return this.pending.shift();
  }
  async show(what, count) {
    for (let i = 0; i < count; ++i) show(what, await this.next());
  }
}

function run(story) {
  story().then(
    () => {
      opened.forEach((one) => one.close());
      process.exit(0);  // watches of a closed client keep the process alive
    },
    (error) => {
      console.error(error);
      process.exit(1);
    });
}

module.exports = { Events, attempt, client, run, show };
