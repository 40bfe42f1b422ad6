// Marks on the time line: only whole ones, and only what is news at the moment that is shown.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMark, newsAt, type PastMark } from '../src/past/marks';

test('a mark without a time or of an unknown kind is none', () => {
  const whole = { time_s: 10, kind: 'confirmed', account: 'ana', text: 'two outboards', contact_id: 'c-1' };
  assert.deepEqual(decodeMark(whole), { atMs: 10_000, kind: 'confirmed', account: 'ana', text: 'two outboards', contactId: 'c-1' });
  for (const odd of [null, [], { ...whole, time_s: 'now' }, { ...whole, time_s: Number.NaN }, { ...whole, kind: 'erased' }]) assert.equal(decodeMark(odd), null);
  assert.equal(decodeMark({ time_s: 1, kind: 'alert', account: 7, text: null })?.account, '');
});

test('news are the last few before the moment, newest first', () => {
  const marks = [0, 60, 100, 130, 140, 200].map((seconds): PastMark => ({ atMs: seconds * 1000, kind: 'opened', account: 'ana', text: '', contactId: null }));
  assert.deepEqual(newsAt(marks, 150_000).map((one) => one.atMs / 1000), [140, 130, 100]);
  assert.deepEqual(newsAt(marks, 90_000, 5, 60_000).map((one) => one.atMs / 1000), [60]);
});
