// slow.mjs - a connection between the browser and the gateway that can be made slow, so that a test
// sees an answer of some milliseconds grow.
import { once } from 'node:events';
import net from 'node:net';

const EVERY_MS = 50;

/** {url, pace(bytes a second, 0: no bound), close()}: what the gateway at `target` says, at that pace. */
export async function openSlowDoor(target) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  let piece = 0; // bytes in EVERY_MS; 0: all

  function join(client) {
    const gateway = net.connect(Number(port), hostname);
    let waiting = Buffer.alloc(0), ended = false;
    const give = () => {
      const n = piece || waiting.length;
      if (n > 0 && waiting.length > 0 && client.writable) client.write(waiting.subarray(0, n));
      waiting = waiting.subarray(n);
      if (ended && waiting.length === 0) client.end();
    };
    const timer = setInterval(give, EVERY_MS);
    gateway.on('data', (bytes) => {
      waiting = Buffer.concat([waiting, bytes]);
      if (!piece) give();
    });
    gateway.on('end', () => {
      ended = true;
      if (!piece) give();
    });
    client.on('data', (bytes) => gateway.write(bytes));
    client.on('end', () => gateway.end());
    const close = () => {
      clearInterval(timer);
      for (const socket of [client, gateway]) {
        socket.destroy();
        sockets.delete(socket);
      }
    };
    gateway.on('error', close);
    client.on('error', close).on('close', close);
    sockets.add(client).add(gateway);
  }

  const server = net.createServer({ noDelay: true }, join).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    pace: (bytes) => { piece = Math.ceil((bytes * EVERY_MS) / 1000); },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
