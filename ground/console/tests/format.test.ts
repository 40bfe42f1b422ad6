import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decimal, dms, gridLabel } from '../src/format/position';
import { bytes, direction, distance, fixed } from '../src/format/quantity';
import { age, ago } from '../src/format/time';

test('positions are written as people copy and say them', () => {
  assert.equal(decimal(-35.363026, 149.164328), '-35.363026, 149.164328');
  assert.equal(dms(-35.363026, 149.164328), '35°21′46.9″S 149°09′51.6″E');
});

test('seconds that round up carry into minutes and degrees', () => {
  assert.equal(dms(35.99999999, -0.0166666), '36°00′00.0″N 000°01′00.0″W');
});

test('a graticule label has no more parts than its step', () => {
  assert.equal(gridLabel(-35, 1, 'latitude'), '35°S');
  assert.equal(gridLabel(-35.35, 1 / 60, 'latitude'), '35°21′S');
  assert.equal(gridLabel(181, 1, 'longitude'), '179°W');
  assert.equal(gridLabel(0, 1, 'latitude'), '0°');
});

test('numbers carry their unit and a true minus', () => {
  assert.equal(fixed(-0.04, 1), '0.0');
  assert.equal(fixed(-1.26, 1), '\u22121.3');
  assert.equal(distance(4.2), '4.2 m');
  assert.equal(distance(1234), '1.23 km');
  assert.equal(direction(359.7), '000°');
  assert.equal(bytes(1_900_000), '1.9 MB');
});

test('ages have one unit, and what is days old gives its date', () => {
  assert.deepEqual([3.9, 75, 3700, 90_000].map(age), ['3 s', '1 min', '1 h 1 min', '1 d 1 h']);
  const now = Date.parse('2026-11-21T12:00:00Z');
  assert.equal(ago('2018-11-05T01:02:03Z', now), '2018-11-05');
  assert.equal(ago('2026-11-21T11:59:48Z', now), '12 s ago');
});
