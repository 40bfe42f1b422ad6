import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeContact, decodeLayer, decodePlatform, decodeTrack, isLocalUrl } from '../src/api/decode';

const CONTACT = {
  contact_id: 'c-1',
  label: 'vessel',
  score: 0.5,
  first_seen: '2026-11-21T10:00:00.000000Z',
  last_seen: '2026-11-21T10:00:00.000000Z',
};

test('a contact needs an id, a score and times; the rest may be missing', () => {
  const contact = decodeContact(CONTACT);
  assert.equal(contact?.review, 'unreviewed');
  assert.equal(contact?.position, null);
  for (const bad of [null, [], 'x', { ...CONTACT, score: NaN }, { ...CONTACT, score: 2 }, { ...CONTACT, last_seen: 'now' }]) {
    assert.equal(decodeContact(bad), null);
  }
});

test('a position outside the Earth or without an uncertainty is no position', () => {
  const position = { latitude_deg: 1, longitude_deg: 2, ce90_m: 3, le90_m: 4, surface: 'sea' };
  assert.equal(decodeContact({ ...CONTACT, position })?.position?.ce90_m, 3);
  assert.equal(decodeContact({ ...CONTACT, position: { ...position, latitude_deg: 91 } })?.position, null);
  assert.equal(decodeContact({ ...CONTACT, position: { ...position, ce90_m: null } })?.position, null);
});

test('characters that turn the direction of text or are not seen do not pass', () => {
  assert.equal(decodeContact({ ...CONTACT, label: 'ves\u202esel\u0000' })?.label, 'ves\ufffdsel\ufffd');
});

test('a platform of an earlier run has an id and nothing else', () => {
  const platform = decodePlatform({ platform_id: 'SW-01', last_heard: null, age_s: null, sortie_id: null }, 5);
  assert.equal(platform?.age_s, null);
  assert.equal(platform?.pose, null);
});

test('a track with an unknown status is refused', () => {
  const track = { track_id: 't', status: 'lost', time: '2026-11-21T10:00:00Z' };
  assert.equal(decodeTrack(track, 0), null);
  assert.equal(decodeTrack({ ...track, status: 'coasting' }, 0)?.status, 'coasting');
});

test('a layer on another machine is refused', () => {
  const origin = 'http://127.0.0.1:8080';
  assert.equal(isLocalUrl('/api/v1/layers/a.geojson', origin), true);
  for (const url of ['https://tiles.example/a', '//tiles.example/a', 'data:x', 'javascript:alert(1)']) {
    assert.equal(isLocalUrl(url, origin), false);
  }
  assert.equal(decodeLayer({ name: 'a', kind: 'geojson', url: 'https://tiles.example/a' }, origin), null);
});
