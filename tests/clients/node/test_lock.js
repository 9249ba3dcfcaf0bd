// The client's locks, which are made of keys, leases and transactions, and its elections, with watches beside.
'use strict';
const { attempt, client, run, show } = require('./said');

const first = (emitter, event) => new Promise((resolve) => { emitter.once(event, resolve); });

run(async () => {
  const etcd = client();
  const lock = etcd.lock('resource');
  await attempt('acquired', async () => (await lock.acquire()) === lock);
  await attempt('taken', () => client().lock('resource').acquire());
  await attempt('do while taken', () => etcd.lock('resource').do(async () => 'never'));
  await attempt('released', () => lock.release());
  await attempt('do', () => etcd.lock('resource').do(async () => 'inside'));
  await attempt('free again', () => etcd.get('resource'));
  const brief = etcd.lock('brief').ttl(2);
  await attempt('brief', async () => (await brief.acquire()) === brief);
  await brief.release();

  const election = etcd.election('job', 20);
  await attempt('no leader', () => election.leader());
  const one = election.campaign('one');
  await attempt('elected', async () => (await one.wait()) === one);
  await attempt('leader', () => election.leader());
  const observer = await election.observe();
  show('observed', observer.leader());
  const proclaimed = first(observer, 'change');
  await attempt('proclaims', () => one.proclaim('one again'));
  show('observed', await proclaimed);
  const two = client().election('job', 20).campaign('two');
  const taken = two.wait();  // before anything can elect it: the event comes once
  await attempt('still leads', () => election.leader());
  await attempt('resigns', () => one.resign());
  await attempt('the second leads', async () => (await taken) === two);
  await attempt('leader', () => election.leader());
  await observer.cancel();
  await attempt('resigns', () => two.resign());
  await attempt('proclaims without an office', () => one.proclaim('late'));
});
