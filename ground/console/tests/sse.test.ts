import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventStreamParser } from '../src/api/sse';

test('an event is complete only at its empty line, however the bytes arrive', () => {
  const stream = 'id: 7\nevent: contact\ndata: {"a":\ndata: 1}\n\n';
  const parser = new EventStreamParser();
  const events = [...stream].flatMap((letter) => parser.feed(letter));
  assert.deepEqual(events, [{ name: 'contact', data: '{"a":\n1}', id: '7' }]);
});

test('carriage returns, comments and unknown fields are understood', () => {
  const parser = new EventStreamParser();
  const events = [...parser.feed(': hello\r\n\r\ndata: x\r'), ...parser.feed('\nretry: 5\r\n\r\n')];
  assert.deepEqual(events, [{ name: 'message', data: 'x', id: '' }]);
});

test('an id counts only with its whole event, so that a cut event is sent again', () => {
  const parser = new EventStreamParser();
  parser.feed('id: 1\ndata: a\n\nid: 2\ndata: b\n');
  assert.equal(parser.lastId, '1');
  parser.feed('\n');
  assert.equal(parser.lastId, '2');
});

test('an endless line is dropped and the stream goes on', () => {
  const parser = new EventStreamParser();
  parser.feed('data: ');
  for (let piece = 0; piece < 5; piece += 1) assert.deepEqual(parser.feed('x'.repeat(1_000_000)), []);
  assert.deepEqual(parser.feed('x\n\n'), []);
  assert.equal(parser.feed('data: ok\n\n')[0]?.data, 'ok');
});
