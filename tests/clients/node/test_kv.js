// Keys and ranges: every order, limits, history, and what is refused.
'use strict';
const { attempt, client, run } = require('./said');

run(async () => {
  const etcd = client();
  await attempt('put', () => etcd.put('a').value('1'));
  await attempt('put with the value before', () => etcd.put('a').value('2').getPrevious());
  await attempt('number', () => etcd.put('n').value(42));
  await attempt('as number', () => etcd.get('n').number());
  await attempt('as buffer', () => etcd.get('a').buffer());
  await attempt('as JSON, which it is not', () => etcd.get('nothing').json());
  await attempt('touch', () => etcd.put('a').touch());
  await attempt('touch nothing', () => etcd.put('nothing').touch());
  await attempt('keeps the lease of nothing', () => etcd.put('nothing').value('x').ignoreLease());
  await attempt('get nothing', () => etcd.get('nothing'));
  await attempt('exists', () => etcd.get('a').exists());
  for (const [key, value] of [['p/x', '3'], ['p/y', '1'], ['p/z', '2'], ['p/y', '4'], ['q', '0']]) {
    await etcd.put(key).value(value);
  }
  await attempt('prefix', () => etcd.getAll().prefix('p/').strings());
  await attempt('keys', () => etcd.getAll().prefix('p/').keys());
  await attempt('count', () => etcd.getAll().count());
  await attempt('range', () => etcd.getAll().inRange({ start: 'p/x', end: 'p/z' }).strings());
  for (const target of ['Key', 'Version', 'Create', 'Mod', 'Value']) {
    for (const order of ['Ascend', 'Descend', 'None']) {
      await attempt(`by ${target} ${order}`, () => etcd.getAll().prefix('p/').sort(target, order).limit(2).exec());
    }
  }
  await attempt('revisions', () => etcd.getAll().minModRevision(4).maxModRevision(8).keys());
  await attempt('creations', () => etcd.getAll().minCreateRevision(4).maxCreateRevision(6).keys());
  await attempt('past', () => etcd.get('a').revision(2).exec());
  await attempt('future', () => etcd.get('a').revision(9999));
  await attempt('serializable', () => etcd.get('a').serializable(true));
  await attempt('namespace', () => etcd.namespace('p/').getAll().strings());
  await attempt('delete', () => etcd.delete().key('a').getPrevious());
  await attempt('delete nothing', () => etcd.delete().key('a'));
  await attempt('delete a range', () => etcd.delete().inRange({ start: 'p/x', end: 'p/z' }));
  await attempt('put of no key', () => etcd.put('').value('x'));
  await attempt('lease of nobody', () => etcd.put('k').value('x').lease(12345));
  await attempt('too large', () => etcd.put('large').value('x'.repeat(1 << 21)));
  await attempt('compact', () => etcd.kv.compact({ revision: '5' }));
  await attempt('compacted', () => etcd.get('a').revision(3));
  await attempt('compact again', () => etcd.kv.compact({ revision: '5' }));
  await attempt('compact the future', () => etcd.kv.compact({ revision: '500' }));
  await attempt('delete all', () => etcd.delete().all());
});
