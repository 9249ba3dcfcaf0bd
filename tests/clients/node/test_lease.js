// Leases: granted, renewed by hand and by the client, revoked, run out.
'use strict';
const { Events, attempt, client, run, show } = require('./said');

run(async () => {
  const etcd = client();
  const lease = etcd.lease(100, { autoKeepAlive: false });
  await attempt('granted', async () => (await lease.grant()) !== '0');
  await attempt('put', () => lease.put('one').value('1'));
  await attempt('put', () => lease.put('two').value('2'));
  await attempt('renewed', async () => (await lease.keepaliveOnce()).TTL);
  await attempt('keys', async () => {
    const answer = await etcd.leaseClient.leaseTimeToLive({ ID: await lease.grant(), keys: true });
    return [answer.grantedTTL, answer.keys.map(String).sort()];
  });
  const events = new Events(await etcd.watch().key('one').withPreviousKV().create());
  await attempt('revoked', () => lease.revoke());
  await events.show('revoked', 1);
  await attempt('renewed after it was revoked', () => lease.keepaliveOnce());
  await attempt('revoke of nobody', () => etcd.leaseClient.leaseRevoke({ ID: '777' }));
  await attempt('time to live of nobody', () => etcd.leaseClient.leaseTimeToLive({ ID: '777', keys: true }));
  await attempt('given identity', () => etcd.leaseClient.leaseGrant({ ID: '4242', TTL: '60' }));
  await attempt('given identity again', () => etcd.leaseClient.leaseGrant({ ID: '4242', TTL: '60' }));
  await attempt('too long', () => etcd.leaseClient.leaseGrant({ ID: '1', TTL: '9000000001' }));
  await attempt('leases', async () => (await etcd.leaseClient.leaseLeases()).leases.map((one) => one.ID));
  const kept = etcd.lease(3);
  const renewed = new Promise((resolve) => { kept.on('keepaliveSucceeded', (answer) => resolve(answer.TTL)); });
  await kept.put('kept').value('1');
  show('kept by the client', await renewed);
  const left = new Events(await etcd.watch().key('kept').create());
  kept.release();
  await left.show('runs out once the client lets go', 1);
  const lost = etcd.lease(10, { autoKeepAlive: false });
  const why = new Promise((resolve) => { lost.on('lost', (error) => resolve(error.constructor.name)); });
  const identity = await lost.grant();
  await etcd.leaseClient.leaseRevoke({ ID: identity });
  await attempt('renewal of the lost', () => lost.keepaliveOnce());
  show('lost', await why);
});
