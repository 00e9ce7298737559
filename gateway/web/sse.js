// sse.js - server-sent events out of a fetch body; EventSource can send no key.

const EVENT_CHARS = 8 << 20; // of one event; a server that sends more is not ours

/** The events of a response, one by one: {event, data}. Comments and other fields are skipped. */
export async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let event = '';
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      if (rest.length > EVENT_CHARS) throw new Error('The server sent an event that is too large.');
      const lines = rest.split(/\r\n|\n/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === '') {
          if (data.length) yield { event: event || 'message', data: data.join('\n') };
          event = '';
          data = [];
        } else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
        else if (line.startsWith('event:')) event = line.slice(line[6] === ' ' ? 7 : 6);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
