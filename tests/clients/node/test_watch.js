// Watches: of a key, a prefix, a range, from the past, filtered, cancelled, compacted.
'use strict';
const { Events, attempt, client, run, show } = require('./said');

run(async () => {
  const etcd = client();
  const live = new Events(await etcd.watch().key('k').withPreviousKV().create());
  await etcd.put('k').value('1');
  await etcd.put('k').value('2');
  await etcd.put('unseen').value('x');
  await etcd.delete().key('k');
  await etcd.put('k').value('3');
  await live.show('live', 4);
  await new Events(await etcd.watch().key('k').startRevision('2').create()).show('from the past', 4);
  await new Events(await etcd.watch().key('k').startRevision('2').only('delete').create()).show('only deletions', 1);
  await new Events(await etcd.watch().key('k').startRevision('2').only('put').create()).show('only puts', 3);
  const watcher = await etcd.watch().prefix('p/').create();
  const prefix = new Events(watcher);
  await etcd.if('k', 'Version', '>', 0).then(etcd.put('p/a').value('1'), etcd.put('p/b').value('2')).commit();
  await etcd.delete().prefix('p/');
  await prefix.show('prefix', 4);
  await watcher.cancel();
  await etcd.put('p/c').value('after the cancellation');
  show('cancelled sees nothing', prefix.pending.length);
  const named = new Events(await etcd.namespace('p/').watch().key('d').create());
  await etcd.put('p/d').value('1');
  await named.show('in a namespace', 1);
  await new Events(await etcd.watch().inRange({ start: 'p/a', end: 'p/c' }).startRevision('7').create()).show('range', 4);
  await attempt('compact', () => etcd.kv.compact({ revision: '6' }));
  const compacted = etcd.watch().key('k').startRevision('3').watcher();
  await new Events(compacted).show('compacted', 1);
});
