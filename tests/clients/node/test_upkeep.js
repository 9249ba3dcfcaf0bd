// Members, status, alarms, and what has no subject.
'use strict';
const { attempt, client, run } = require('./said');

run(async () => {
  const etcd = client();
  await etcd.put('a').value('1');
  await attempt('status', async () => {
    const status = await etcd.maintenance.status();
    return [/^\d+\.\d+\.\d+/.test(status.version), status.leader === status.header.member_id, status.raftIndex > 0,
      status.raftTerm > 0, Number(status.dbSize) > 0];
  });
  await attempt('members', async () => (await etcd.cluster.memberList({})).members.map(
    (one) => [one.name, one.peerURLs.length, one.clientURLs.length]));
  const member = (await etcd.cluster.memberList({})).members[0].ID;
  const alarms = (answer) => answer.alarms.map((one) => one.alarm);
  await attempt('alarms', async () => alarms(await etcd.maintenance.alarm({ action: 'Get' })));
  await attempt('raise', async () => alarms(await etcd.maintenance.alarm({
    action: 'Activate', memberID: member, alarm: 'Nospace' })));
  await attempt('put', () => etcd.put('a').value('2'));
  await attempt('get', () => etcd.get('a'));
  await attempt('disarm', async () => alarms(await etcd.maintenance.alarm({
    action: 'Deactivate', memberID: member, alarm: 'Nospace' })));
  await attempt('put', () => etcd.put('a').value('2'));
  await attempt('defragment', () => etcd.maintenance.defragment());
  await attempt('hash', async () => (await etcd.maintenance.hash()).hash !== 0);
  await attempt('remove nobody', () => etcd.cluster.memberRemove({ ID: '1234' }));
  await attempt('update nobody', () => etcd.cluster.memberUpdate({ ID: '1234', peerURLs: ['http://127.0.0.1:9'] }));
  await attempt('add without an address', () => etcd.cluster.memberAdd({ peerURLs: [] }));
  await attempt('snapshot', async () => {
    const stream = await etcd.maintenance.snapshot();
    let bytes = 0;
    await new Promise((resolve, reject) => {
      stream.on('data', (part) => { bytes += part.blob.length; });
      stream.on('end', resolve);
      stream.on('error', reject);
    });
    return [bytes > 100, bytes % 512];
  });
});
