// A minimal peer of the events dialect by WebSocket, for pages of browsers and for Node 22 or newer, which has
// WebSocket (Node 20.10 has it with --experimental-websocket); and two of them that show that all arrives.
//
// usage: node web.js ws://SERVER:6510/events [ws://ANOTHER:6510/events ...]     (or wss://)
'use strict';

/** A connection for events. `socket` is a WebSocket to `ws://SERVER/events` or `wss://SERVER/events`. */
class WebPeer {
  constructor(socket) {
    this.socket = socket;
    this.number = 0;
    this.waiting = new Map(); // requests and passes that wait to be answered
    this.onPass = () => {};
    this.onRequest = () => ({});
    this.ready = new Promise((done, fail) => {
      socket.onopen = done;
      socket.onclose = socket.onerror = () => fail(new Error('no connection'));
    });
    socket.onmessage = (message) => this.handle(JSON.parse(message.data)); // one event each
  }

  send(event) {
    this.socket.send(JSON.stringify(event));
  }

  /** Sends what is answered under this key, and gives the answer. */
  wait(key, event) {
    const id = ++this.number;
    return new Promise((done, fail) => {
      this.waiting.set(id, (answer) => (answer.error ? fail(new Error(answer.error.code)) : done(answer.data)));
      this.send({ ...event, [key]: id });
    });
  }

  request(name, data, dest) {
    return this.wait('request_id', { type: 'request', name, data, dest });
  }

  confirmPass(name, data, dest) {
    return this.wait('pass_id', { type: 'confirm_pass', name, data, dest });
  }

  handle(event) {
    if (event.type === 'response' || (event.type === 'confirm_pass' && event.name === undefined)) {
      const id = event.type === 'response' ? event.request_id : event.pass_id;
      this.waiting.get(id)(event);
      this.waiting.delete(id);
    } else if (event.type === 'request') {
      // The server asks for a `ping` now and then.
      const data = event.name === 'ping' && !event.from ? {} : this.onRequest(event);
      this.send({ type: 'response', name: event.name, request_id: event.request_id, data });
    } else {
      this.onPass(event);
      if (event.type === 'confirm_pass') this.send({ type: 'confirm_pass', pass_id: event.pass_id });
    }
  }
}

/** A peer of the first of these servers that is there. When its `socket.onclose` says that the connection has ended, or
 * nobody answers its `request('ping', {})`, call this again: then it is the next one's turn. */
async function connect(urls) {
  let why;
  for (let tries = urls.length; tries > 0; tries -= 1) {
    const peer = new WebPeer(new WebSocket(urls[0]));
    urls.push(urls.shift());
    const late = new Promise((_, fail) => setTimeout(() => fail(new Error('no answer')), 3000));
    try {
      await Promise.race([peer.ready, late]);
      return peer;
    } catch (error) {
      why = error;
      peer.socket.close();
    }
  }
  throw why;
}

/** Two peers exchange passes and requests. Gives `all arrived`, or fails. */
async function exchange(urls) {
  const [ann, ben] = await Promise.all([connect([...urls]), connect([...urls])]);
  await ann.request('login', { id: 'ann', game: 'Pages' });
  await ben.request('login', { id: 'ben', game: 'Pages' });
  const heard = [];
  ben.onPass = (event) => event.name === 'move' && heard.push(event.data);
  ben.onRequest = (event) => ({ twice: 2 * event.data.number, from: event.from });
  const { room } = await ben.request('create_room', { name: 'Tower' });
  const { rooms } = await ann.request('list_rooms', {});
  if (rooms.length !== 1 || rooms[0].room !== room) throw new Error(`rooms: ${JSON.stringify(rooms)}`);
  const long = 'ä€🎮'.repeat(2000);
  ann.send({ type: 'pass', name: 'move', dest: 'ben', data: 1 });
  ann.send({ type: 'pass', name: 'move', dest: 'ben', data: long });
  await ann.confirmPass('move', 3, 'ben');
  if (heard.length !== 3 || heard[0] !== 1 || heard[1] !== long || heard[2] !== 3) {
    throw new Error(`heard: ${JSON.stringify(heard).slice(0, 200)}`);
  }
  const { twice, from } = await ann.request('double', { number: 21 }, 'ben');
  if (twice !== 42 || from !== 'ann') throw new Error(`answered: ${twice} to ${from}`);
  const refused = await ann.request('hello', {}, 'nobody').catch((error) => error.message);
  if (refused !== 'no_such_peer') throw new Error(`nobody has answered ${refused}`);
  const closed = new Promise((done) => (ann.socket.onclose = done));
  ann.socket.close(1000);
  const { code, wasClean } = await closed;
  if (code !== 1000 || !wasClean) throw new Error(`closed with ${code}`);
  ben.socket.close();
  return 'all arrived';
}

if (typeof process === 'object' && process.argv) {
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error('nothing comes')), 20000).unref());
  const failed = (error) => {
    console.error(error.message || error);
    process.exit(1);
  };
  const urls = process.argv.slice(2);
  if (!urls.length || !urls.every((url) => /^wss?:\/\//.test(url))) {
    failed('usage: node web.js ws://SERVER:6510/events [ws://ANOTHER:6510/events ...]     (or wss://)');
  } else if (typeof WebSocket === 'undefined') {
    failed(`Node ${process.versions.node} has no WebSocket: use Node 22, or --experimental-websocket from 20.10 on`);
  } else {
    Promise.race([exchange(urls), late]).then(console.log, failed);
  }
}
