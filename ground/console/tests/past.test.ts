import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Course, Span } from '../src/past/api';
import { countUntil, momentAt } from '../src/past/moment';

const course = (id: string, times: number[], contactId: string | null = null): Course => ({ id, name: id, times, at: times.map((one) => [one / 1e6, 0]), value: times.map(() => 5), contactId, review: [] });
const span = (given: Partial<Span>): Span => ({ platforms: [], tracks: [], vessels: [], footprints: [], isCut: false, ...given });

test('the count of what is not after a moment is exact at the borders', () => {
  assert.deepEqual([9, 10, 11, 20, 99].map((at) => countUntil([10, 20, 30], at)), [0, 1, 1, 2, 3]);
});

test('a moment shows the last that was known by then, never what came later', () => {
  const found = momentAt([span({ platforms: [course('a', [0, 2_000, 4_000])] })], 3_999);
  assert.deepEqual(found.platforms[0]?.at, [0.002, 0]);
  assert.equal(momentAt([span({ platforms: [course('a', [5_000])] })], 4_999).platforms.length, 0);
});

test('what is old is faint, what is older is gone', () => {
  const spans = [span({ platforms: [course('a', [0])], vessels: [course('v', [0])] })];
  assert.equal(momentAt(spans, 10_000).platforms[0]?.isStale, false);
  assert.equal(momentAt(spans, 10_001).platforms[0]?.isStale, true);
  assert.equal(momentAt(spans, 10_001).vessels[0]?.isStale, false);
  assert.equal(momentAt(spans, 600_001).platforms.length, 0);
});

test('two tracks of one contact are one mark, and a trail goes on across two pieces', () => {
  const tracks = [course('t1', [0, 1_000], 'c'), course('t2', [1_500], 'c')];
  const both = momentAt([span({ tracks })], 2_000);
  assert.deepEqual(both.contacts.map((one) => one.id), ['t2']);
  const parted = momentAt([span({ tracks: [course('t1', [0, 1_000], 'c')] }), span({ tracks: [course('t1', [2_000], 'c')] })], 3_000);
  assert.equal(parted.contacts[0]?.trail.length, 3);
});

test('what people said is shown from the moment at which they said it', () => {
  const decided: Course = { ...course('t1', [0, 1_000]), review: [{ atMs: 2_000, state: 'confirmed' }, { atMs: 3_000, state: 'unreviewed' }] };
  const said = [1_999, 2_000, 3_000].map((at) => momentAt([span({ tracks: [decided] })], at).contacts[0]?.review);
  assert.deepEqual(said, ['unreviewed', 'confirmed', 'unreviewed']);
});
