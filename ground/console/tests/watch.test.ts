import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAlert } from '../src/alerts/api';
import { TONES } from '../src/alerts/horn';
import { hhmm, holds, minuteOfDay, minutes, offsetName, quietUntil } from '../src/alerts/hours';
import { decodeVerdict, decodeVessel, readStandings } from '../src/ais/api';
import { headingOf, iconOf, silentFeatures, vesselFeature } from '../src/ais/features';
import type { Contact } from '../src/api/types';
import { es } from '../src/text/es';
import { decodeRule, decodeZone, freshId, type Rule } from '../src/zones/api';
import { asText, between, crossesItself, flaw, fromText, length, pointsOf, ringArea, withPoint } from '../src/zones/drawing';
import { boxOf, draftFeatures, unrolled, widthAtZoom0, zoneFeature } from '../src/zones/features';
import { inWords, span } from '../src/zones/words';

type Points = [number, number][];
const SQUARE: Points = [[20, 0], [20.01, 0], [20.01, 0.01], [20, 0.01]];
const ALERT = { alert_id: 'a-1', contact_id: 'c-1', time: '2026-11-22T10:00:00Z', severity: 'urgent', key: 4, why: [{ word: 'zone', text: 'inside Bay' }] };

test('an alert without an id, a time or a severity that is known is refused', () => {
  assert.equal(decodeAlert(ALERT)?.why[0]?.text, 'inside Bay');
  for (const bad of [null, [], { ...ALERT, alert_id: '' }, { ...ALERT, severity: 'red' }, { ...ALERT, time: 'now' }, { ...ALERT, contact_id: 5 }]) {
    assert.equal(decodeAlert(bad), null);
  }
});

test('each severity sounds different, by number of tones and by pitch', () => {
  const shapes = Object.values(TONES).map((tones) => `${tones.length} at ${tones.map((tone) => tone.hz).join()}`);
  assert.equal(new Set(shapes).size, 3);
});

test('hours of the day go over midnight and follow their own zone', () => {
  assert.equal(hhmm(1325), '22:05');
  assert.deepEqual(['22:05', '24:00', '24:01', '7:3', 'x', '22:05:30'].map(minutes), [1325, 1440, null, null, null, 1325]);
  const night = { from: 1320, until: 330 };
  assert.deepEqual([1319, 1320, 0, 329, 330].map((minute) => holds(night, minute)), [false, true, true, true, false]);
  const noon = Date.parse('2026-11-22T12:00:00Z');
  assert.deepEqual([minuteOfDay(noon, 0), minuteOfDay(noon, -300), minuteOfDay(noon, 780)], [720, 420, 60]);
  assert.equal(quietUntil([night], Date.parse('2026-11-22T23:30:00Z'), 0), 330);
  assert.equal(quietUntil([night], noon, 0), null);
  assert.deepEqual([offsetName(0), offsetName(-210), offsetName(345)], ['UTC', 'UTC\u221203:30', 'UTC+05:45']);
});

test('lengths and areas on the sphere are those of the ground', () => {
  assert.ok(Math.abs(between([20, 0], [20.01, 0]) - 1111.95) < 0.1);
  assert.ok(Math.abs(between([179.99, 0], [-179.99, 0]) - 2223.9) < 0.3);
  assert.ok(Math.abs(length(SQUARE, true) - 4447.8) < 0.5);
  assert.ok(Math.abs(ringArea(SQUARE) - 1111.95 ** 2) < 50);
  assert.ok(Math.abs(ringArea([[179.995, 0], [-179.995, 0], [-179.995, 0.01], [179.995, 0.01]]) - 1111.95 ** 2) < 50);
});

test('a ring that crosses itself, and one of too few corners, is told', () => {
  assert.equal(crossesItself(SQUARE), false);
  const bow: Points = [[0, 0], [1, 1], [1, 0], [0, 1]];
  assert.equal(crossesItself(bow), true);
  assert.equal(flaw({ kind: 'area', points: bow }), 'crosses');
  assert.equal(flaw({ kind: 'line', points: bow }), null);
  assert.equal(flaw({ kind: 'area', points: SQUARE.slice(0, 2) }), 'few');
  assert.equal(flaw({ kind: 'area', points: [[0, 0], [0, 0], [1, 1]] }), 'few');
  assert.equal(withPoint(withPoint([], [1, 2]), [1, 2]).length, 1);
});

test('corners are written and read latitude first, and a line that is none is named', () => {
  assert.deepEqual(fromText(asText(SQUARE)), SQUARE);
  assert.deepEqual(fromText('36.7, -3.4\n\n36.8;\u22123.5\n36.9 -3.6'), [[-3.4, 36.7], [-3.5, 36.8], [-3.6, 36.9]]);
  for (const [written, line] of [['36.7', 1], ['36.7, -3.4\nnorth, 2', 2], ['91, 0', 1], ['1, 2, 3', 1]] as const) assert.equal(fromText(written), line);
});

test('only one ring without holes, or one line, has corners that a form can show', () => {
  assert.deepEqual(pointsOf({ polygons: [[[...SQUARE, [20, 0]]]], lines: [] }), SQUARE);
  assert.equal(pointsOf({ polygons: [[SQUARE, SQUARE]], lines: [] }), null);
  assert.equal(pointsOf({ polygons: [[SQUARE], [SQUARE]], lines: [] }), null);
  assert.deepEqual(pointsOf({ polygons: [], lines: [SQUARE] }), SQUARE);
});

test('a zone over the antimeridian does not cross the whole map', () => {
  assert.deepEqual(unrolled([[179, 0], [-179, 1], [178, 2]]), [[179, 0], [181, 1], [178, 2]]);
  const zone = decodeZone({ zone_id: 'z', kind: 'area', polygons: [[[[179, 0], [-179, 0], [-179, 1]]]] });
  assert.ok(zone);
  assert.deepEqual(boxOf(zone), [179, 0, 181, 1]);
  const drawn = zoneFeature(zone).geometry as GeoJSON.MultiPolygon;
  assert.deepEqual(drawn.coordinates[0]?.[0]?.at(-1), [179, 0]);
});

test('a corridor is as wide on the map as on the ground', () => {
  const atEquator = widthAtZoom0(1000, 0);
  assert.ok(Math.abs(atEquator * 2 ** 10 - 13.08) < 0.01);
  assert.ok(Math.abs(widthAtZoom0(1000, 60) / atEquator - 2) < 1e-9);
  assert.equal(draftFeatures('corridor', SQUARE, 100, null).filter((one) => one.geometry.type === 'Point').length, 4);
});

test('zones and rules that cannot be read are refused; what is missing has its usual value', () => {
  for (const bad of [null, { zone_id: 'z', kind: 'circle' }, { kind: 'area' }]) assert.equal(decodeZone(bad), null);
  for (const bad of [null, { rule_id: 'r', trigger: 'often' }, { trigger: 'inside' }]) assert.equal(decodeRule(bad), null);
  const rule = decodeRule({ rule_id: 'r', trigger: 'inside', hours: [{ from: 1, until: 2 }, { from: -1, until: 2 }] });
  assert.deepEqual([rule?.min_looks, rule?.light, rule?.hours], [2, 'any', [{ from: 1, until: 2 }]]);
  assert.match(freshId('z', '  Bahía de Cádiz '), /^z-bahi-a-de-ca-diz-[0-9a-f]{8}$|^z-bahia-de-cadiz-[0-9a-f]{8}$/);
});

test('a rule in words says all that it asks', () => {
  const rule = decodeRule({ rule_id: 'r', name: 'R', trigger: 'enters', zone_ids: ['z'], labels: ['boat'], light: 'dark', max_speed_mps: 5, to_pilot: true, escalate_after_s: 90 }) as Rule;
  const said = inWords(rule, new Map([['z', { name: 'Bay' }]]));
  assert.equal(said[0], 'Warning alert when a contact labelled “boat” comes into “Bay”, sure to 90 %, seen 2 times or more, at 5 m/s (10 kn) or slower, in the dark there.');
  assert.equal(said.length, 4);
  assert.match(inWords({ ...rule, zone_ids: ['gone'] }, new Map())[0] ?? '', /a zone that is gone/);
  assert.deepEqual([span(90), span(300), span(7200)], ['90 s', '5 min', '2 h']);
});

const VESSEL = { mmsi: '230108610', last_heard: '2026-11-22T10:00:00Z', station: 'A', position: { longitude_deg: 20, latitude_deg: 1, course_deg: 90, speed_mps: 4, heading_deg: null } };

test('a vessel points where its bow is, else where it goes, else nowhere', () => {
  const vessel = decodeVessel(VESSEL);
  assert.ok(vessel);
  assert.equal(headingOf(vessel), 90);
  assert.equal(headingOf({ ...vessel, heading_deg: 12 }), 12);
  assert.equal(headingOf({ ...vessel, speed_mps: 0.1 }), null);
  assert.deepEqual([iconOf(vessel), iconOf({ ...vessel, doubts: ['x'] }), iconOf({ ...vessel, station: 'base' })], ['ais-vessel', 'ais-vessel-flag', 'ais-station']);
  assert.equal(vesselFeature(vessel, 30, false)?.properties?.['label'], '230108610');
  assert.equal(vesselFeature(vessel, 130, true)?.properties?.['label'], '230108610\n2 min');
  assert.equal(decodeVessel({ ...VESSEL, position: { ...VESSEL.position, latitude_deg: 91 } })?.place, null);
  assert.equal(decodeVessel({ ...VESSEL, mmsi: null }), null);
});

test('only silent contacts with a place get a ring, and an unknown word of AIS is refused', () => {
  const place = { latitude_deg: 1, longitude_deg: 2 };
  const contacts = new Map([['c-1', { position: place }], ['c-2', { position: null }], ['c-3', { position: place }]]) as unknown as Map<string, Contact>;
  const rows = ['c-1', 'c-2', 'c-3', 'c-4'].map((contact_id) => ({ contact_id, verdict: contact_id === 'c-3' ? 'matched' : 'silent', probability: 0.9 }));
  const { standings } = readStandings({ items: [...rows, { contact_id: 'c-5', verdict: 'guilty' }], pending: 2 });
  assert.equal(standings.length, 4);
  const rings = silentFeatures(contacts, new Map(standings.map((one) => [one.contactId, one])));
  assert.deepEqual([...rings.keys()], ['c-1']);
  assert.equal(decodeVerdict({ verdict: 'guilty' }, 'c'), null);
  assert.deepEqual(decodeVerdict({ verdict: 'silent', probabilities: { silent: 0.9 } }, 'c')?.probabilities.matched, 0);
});

test('the reasons are said in Spanish with the numbers of the ground', () => {
  const { reason } = es.watch.alerts;
  assert.equal(reason({ word: 'looks', text: 'seen 4 times (at least 2)', value: 4, limit: 2 }), 'visto 4 veces (al menos 2)');
  assert.equal(reason({ word: 'label', text: 'it is a boat', value: null, limit: null }), 'it is a boat');
  assert.match(es.watch.ais.said({ kind: 'could_hear', text: '', values: { chance: 0.97, per_report: 0.7 } }), /97 %.*70 %/);
});
