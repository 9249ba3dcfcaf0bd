// Transactions of the client, by hand, and its software transactions, which are made of them.
'use strict';
const { attempt, client, run } = require('./said');

run(async () => {
  const etcd = client();
  await etcd.put('k').value('v');
  await etcd.put('k').value('w');
  await etcd.put('other').value('1');
  for (const [column, operand] of [['Value', 'v'], ['Version', 2], ['Create', 2], ['Mod', 3], ['Lease', 0]]) {
    for (const key of ['k', 'absent']) {
      for (const relation of ['==', '!=', '<', '>']) {
        await attempt(`${column} of ${key} ${relation}`, () => etcd.if(key, column, relation, operand)
          .then(etcd.get('k')).else(etcd.get('other')).commit());
      }
    }
  }
  await attempt('effects', () => etcd.if('k', 'Version', '>', 0).and('other', 'Value', '==', '1')
    .then(etcd.put('k').value('x'), etcd.get('k'), etcd.delete().key('other')).else(etcd.put('never').value('1')).commit());
  await attempt('else', () => etcd.if('k', 'Version', '>', 99)
    .then(etcd.put('never').value('1')).else(etcd.put('other').value('2'), etcd.get('other')).commit());
  await attempt('one key twice', () => etcd.if('k', 'Version', '>', 0)
    .then(etcd.put('same').value('1'), etcd.put('same').value('2')).commit());
  await attempt('a key of nobody\'s lease', () => etcd.if('k', 'Version', '>', 0)
    .then(etcd.put('leased').value('1').lease(99)).commit());
  await attempt('129 operations', () => etcd.if('k', 'Version', '>', 0)
    .then(...Array.from({ length: 129 }, (_, i) => etcd.get(`k${i}`))).commit());
  await attempt('nested', () => etcd.kv.txn({
    compare: [],
    success: [
      { request_put: { key: Buffer.from('outer'), value: Buffer.from('1') } },
      { request_txn: {
        compare: [{ key: Buffer.from('outer'), target: 'Value', result: 'Equal', value: Buffer.from('1') }],
        success: [{ request_range: { key: Buffer.from('outer') } }],
        failure: [] } },
    ],
    failure: [] }));
  for (const isolation of [0, 1, 2, 3]) {
    await attempt(`software transaction, isolation ${isolation}`, () => etcd.stm({ isolation }).transact(async (tx) => {
      const before = await tx.get('counter').number();
      await tx.put('counter').value((before || 0) + 1);
      await tx.delete().key('nothing');
      return (before || 0) + 1;
    }));
  }
  await attempt('counter', () => etcd.get('counter').exec());
  let tries = 0;
  await attempt('conflict', () => etcd.stm({ retries: 2, isolation: 0 }).transact(async (tx) => {
    tries += 1;
    const seen = await tx.get('contended').string();
    await etcd.put('contended').value(String(tries));
    await tx.put('contended').value('lost');
    return seen;
  }));
  await attempt('tries', async () => tries);
});
