import assert from 'node:assert/strict';
import test from 'node:test';
import { nameIn, readPlan } from '../src/handon/api';

const item = (command: number, latitude: number, longitude: number): object => ({ type: 'SimpleItem', command, params: [0, 0, 0, null, latitude, longitude, 90] });

test('the way of a plan is what is flown to, not what the camera looks at', () => {
  const plan = { mission: { cruiseSpeed: 12, items: [item(178, 0, 0), item(195, 1, 2), item(16, 1.1, 2.1), item(16, 1.2, 2.2), { command: 'x' }, null] }, skywarden: { title: 'orbit', notes: ['one', 2] } };
  assert.deepEqual(readPlan(JSON.stringify(plan)), {
    title: 'orbit',
    notes: ['one'],
    way: [
      [2.1, 1.1],
      [2.2, 1.2],
    ],
    speed_mps: 12,
  });
});

test('what is no plan is none', () => {
  for (const wrong of ['', '{', '[]', '{"mission": 3}', '{"mission": {"items": {}}}', 'null']) assert.equal(readPlan(wrong), null);
});

test('the name of a file has nothing of a path and no hidden beginning', () => {
  assert.equal(nameIn('attachment; filename="UNREVIEWED-skywarden.kmz"'), 'UNREVIEWED-skywarden.kmz');
  assert.equal(nameIn('attachment; filename="../../etc/x y"'), '__.._etc_x_y');
  assert.equal(nameIn(null), 'skywarden');
});
