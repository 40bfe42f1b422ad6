// Server-sent events as a plain object: text in, events out (WHATWG HTML, section 9.2). No network here.

export interface ServerEvent {
  name: string;
  data: string;
  id: string;
}

/** One event may be this long; a longer one is dropped with everything up to its end. */
const MAX_EVENT_CHARS = 4_000_000;

export class EventStreamParser {
  #rest = '';
  #name = '';
  #data: string[] = [];
  #size = 0;
  #overrun = false;
  #pendingId: string | null = null;
  /** The id of the last complete event; goes back to the server as Last-Event-ID. */
  lastId = '';

  /** Takes the next piece of the stream and returns the events that it completed. */
  feed(chunk: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + chunk).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = line === '' ? this.#finish() : this.#take(line);
      if (event) events.push(event);
    }
    if (this.#rest.length > MAX_EVENT_CHARS) {
      this.#rest = '';
      this.#overrun = true;
    }
    return events;
  }

  #take(line: string): null {
    const colon = line.indexOf(':');
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      this.#size += value.length;
      if (this.#size > MAX_EVENT_CHARS) this.#overrun = true;
      else this.#data.push(value);
    } else if (field === 'event') this.#name = value;
    else if (field === 'id' && !value.includes('\0')) this.#pendingId = value;
    return null;
  }

  #finish(): ServerEvent | null {
    this.lastId = this.#pendingId ?? this.lastId;
    this.#pendingId = null;
    const event =
      this.#data.length > 0 && !this.#overrun
        ? { name: this.#name || 'message', data: this.#data.join('\n'), id: this.lastId }
        : null;
    this.#name = '';
    this.#data = [];
    this.#size = 0;
    this.#overrun = false;
    return event;
  }
}
