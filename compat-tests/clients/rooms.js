#!/usr/bin/env node
// A minimal client of the rooms dialect for Node, without packages.
//
// usage: node rooms.js SERVER PORT host NAME     open a room, and play with one who joins
//        node rooms.js SERVER PORT join NAME     find that room, play, come back at another port, play again
//
// SERVER may be several, separated by commas: when one does not answer, the next is asked.
//
// What players say to each other is theirs to choose; here it is what rooms.py says: `knock` and `here` for
// the punch, `say:TEXT`, answered `heard:TEXT`, and `bye`, answered `bye`.
'use strict';
const dgram = require('dgram');
const dns = require('dns').promises;

const PATIENCE = 20000; // milliseconds for each step, with all that may get lost
const AGAIN = 500; // a request without an answer is sent again
const KNOCK = 100; // between two knocks
const ALIVE = 10000; // between two signs of life
const WATCH = 2000; // the same where there is another server, to see soon whether this one is gone
const TRIES = 4; // so many packets without an answer, and the next server is asked
const OWN = 'd.app=minimal'; // own data of the rooms of this client, and what it looks for

// encodeURIComponent leaves these alone, and so does the server.
const encode = (text) => encodeURIComponent(text).replace(/%20/g, ' ');

/** One UDP socket for the server and the peers: who sent a packet tells what it is. */
class Player {
  constructor(addresses, port) {
    this.servers = addresses.map((address) => `${address}:${port}`);
    [this.server] = this.servers;
    this.peers = new Map(); // ID of a peer: where it is, and whether it has answered
    this.told = new Map(); // where the server said last that it is
    this.handle = () => {};
  }

  openSocket() {
    if (this.socket) this.socket.close();
    this.socket = dgram.createSocket('udp4');
    this.socket.on('message', (data, { address, port }) => {
      this.handle(`${address}:${port}`, data.toString().split(':'));
    });
    // ICMP errors are of no interest: what is not answered is sent again.
    this.socket.on('error', () => {});
    return new Promise((resolve) => this.socket.bind(0, resolve));
  }

  send(where, text) {
    const colon = where.lastIndexOf(':');
    this.socket.send(text, Number(where.slice(colon + 1)), where.slice(0, colon));
  }

  /** Asks the next server from now on. If there is only one, that is asked again. */
  nextServer() {
    this.servers.push(this.servers.shift());
    [this.server] = this.servers;
  }

  tell(text) {
    this.send(this.server, text);
  }

  /** Does something again and again until `handle` has had enough of what comes in. */
  until(what, every, act, handle) {
    return new Promise((resolve, reject) => {
      const end = (settle, value) => {
        clearInterval(again);
        clearTimeout(late);
        this.handle = () => {};
        settle(value);
      };
      this.end = (value) => end(resolve, value);
      const again = setInterval(act, every);
      const late = setTimeout(() => end(reject, new Error(what)), PATIENCE);
      this.handle = (source, fields) => {
        try {
          const value = handle(source, fields);
          if (value !== undefined) end(resolve, value);
        } catch (error) {
          end(reject, error);
        }
      };
      act();
    });
  }

  /** Sends a request until an answer of each of these verbs has come, in whatever order. Null: the server does not
   * know the place to which one comes back. */
  ask(request, ...verbs) {
    const verb = request.split(':')[0].replace(/\0+$/, '');
    let answers = {};
    let tries = 0;
    const act = () => {
      if (tries === TRIES) {
        this.nextServer();
        [answers, tries] = [{}, 0];
      }
      this.tell(request);
      tries += 1;
    };
    return this.until(`no answer to ${verb}`, AGAIN, act, (source, fields) => {
      if (source !== this.server) return undefined;
      if (verb === 'rc' && fields.join(':') === 'er:rc:noroom') return null;
      if (fields[0] === 'er' && fields[1] === verb) throw new Error(`refused: ${fields.join(':')}`);
      // Others may have asked for a place in its name.
      if (fields[0] === 'rID' && verb === 'rc' && fields[1] !== this.id) return undefined;
      answers[fields[0]] = fields;
      this.note(fields);
      return verbs.every((each) => answers[each]) ? verbs.map((each) => answers[each]) : undefined;
    });
  }

  /** Hosts, joins or comes back, and shows the key. */
  async takePlace(request, verb) {
    let answers = await this.ask(request, verb, 'rID');
    while (answers && (this.id !== answers[1][1] || this.key !== answers[1][2])) {
      [, this.id, this.key] = answers[1];
      answers = await this.ask(`rc:${this.id}:${this.key}`, verb, 'rID');
    }
    return answers && answers[0];
  }

  /** Takes its place again. Null: the server has been restarted, and knows nobody. */
  async comeBack(verb) {
    return this.id ? this.takePlace(`rc:${this.id}:${this.key}`, verb) : null;
  }

  /** All rooms of this client that have a place. A page carries no ID of its request, so there is one at a time. */
  async rooms() {
    const all = [];
    for (let after = ''; ; ) {
      // A request that is filled up is answered with a full page.
      const [page] = await this.ask(`rl${after}:free:${OWN}`.padEnd(512, '\0'), 'rl');
      for (const entry of page.slice(1).filter((each) => each !== '' && each[0] !== '+')) {
        // Behind these are the size and the own data, and later there may be more.
        const [room, name, status, players] = entry.split(',');
        all.push({ room, name: decodeURIComponent(name), status, players: Number(players) });
      }
      const last = page[page.length - 1];
      if (last[0] !== '+') return all;
      after = `:${last.slice(1)}`;
    }
  }

  /** Knocks where the host is, as the answer to `jr` or `rc` says. */
  meetHost(answer) {
    [, this.room] = answer;
    this.told.set('host', `${decodeURIComponent(answer[3])}:${answer[4]}`);
    this.peers.set('host', { where: this.told.get('host'), met: false });
  }

  /** What the server tells of peers: it may come more than once. */
  note(fields) {
    if ((fields[0] === 'cj' || fields[0] === 'ep') && fields.length === 4) {
      const where = `${decodeURIComponent(fields[2])}:${fields[3]}`;
      const peer = this.peers.has('host') ? 'host' : fields[1];
      if (this.told.get(peer) !== where) {
        this.told.set(peer, where);
        this.peers.set(peer, { where, met: false });
      }
    } else if (fields[0] === 'cl') {
      this.peers.delete(fields[1]);
    }
  }

  /** Keeps in touch until `done` says so of what has come. Says something to all whom it has met, again and
   * again, as any packet may get lost. False: the server does not know who this is, or is gone. For a client that is
   * early enough when it wants something of the server. */
  play(done, say) {
    const every = this.servers.length > 1 ? WATCH : ALIVE;
    let [sign, tries, alive] = [`ka:${this.key}`, 0, Date.now() + every];
    const act = () => {
      if (Date.now() >= alive) {
        if (tries === TRIES && this.servers.length > 1) {
          this.nextServer();
          if (this.hosts) return this.end(false);
          // Where several servers are one the place is ours still, if the room is not gone as well.
          [sign, tries] = [`jr:${this.room}`, 0];
        }
        this.tell(sign);
        tries += 1;
        alive = Date.now() + AGAIN;
      }
      for (const { where, met } of this.peers.values()) {
        if (!met) this.send(where, 'knock');
        else if (say) this.send(where, say);
      }
    };
    return this.until('the peer does not say what it should', KNOCK, act, (source, fields) => {
      if (source === this.server) [sign, tries, alive] = [`ka:${this.key}`, 0, Date.now() + every];
      const isForgotten = source === this.server && fields.join(':') === 'er:ka:noroom';
      if (isForgotten && this.hosts) return false;
      if (source === this.server) this.note(fields);
      else if (fields[0] === 'knock') this.send(source, 'here');
      else if (fields[0] === 'say') this.send(source, ['heard', ...fields.slice(1)].join(':'));
      else if (fields[0] === 'bye' && say !== 'bye') this.send(source, 'bye');
      else if (fields[0] === 'here') this.met(source);
      return done(fields) ? true : undefined;
    });
  }

  /** A peer has answered: the server may be told that the punch worked. */
  met(source) {
    const address = (where) => where.slice(0, where.lastIndexOf(':'));
    for (const [peer, { where, met }] of this.peers) {
      // Its NAT may have given it another port towards us.
      if (!met && address(where) === address(source)) {
        this.peers.set(peer, { where: source, met: true });
        this.tell(`pc:${peer === 'host' ? this.id : peer}:ok:${this.key}`);
      }
    }
  }
}

async function host(player, name) {
  player.hosts = true;
  const heard = new Set();
  const done = ([verb, text]) => {
    if (verb === 'say' && !heard.has(text)) {
      heard.add(text);
      console.log(`heard ${text}`);
    }
    // Until the server says that the client has left its `bye` may have to be answered.
    return verb === 'cl';
  };
  do {
    const back = await player.comeBack('rh');
    const [, room] = back || (await player.takePlace(`rh:${encode(name)}:${OWN}`, 'rh'));
    console.log(`open ${room}`);
  } while (!(await player.play(done)));
  await player.ask(`cr:${player.key}`, 'cr');
}

/** Finds the room of this name, joins it, and knocks at its host. */
async function enter(player, name) {
  const end = Date.now() + PATIENCE;
  let wanted;
  for (;;) {
    wanted = (await player.rooms()).find((room) => room.name === name && room.status === 'open');
    if (wanted || Date.now() >= end) break;
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
  if (!wanted) throw new Error(`there is no room ${name}`);
  player.meetHost(await player.takePlace(`jr:${wanted.room}`, 'jr'));
}

async function join(player, name) {
  await enter(player, name);
  const is = (verb, text) => (fields) => fields[0] === verb && fields[1] === text;
  await player.play(is('heard', 'hello'), 'say:hello');

  // Another socket has another port, as after a new start: the place is still ours.
  await player.openSocket();
  const back = await player.comeBack('jr');
  if (back) player.meetHost(back);
  else await enter(player, name);
  await player.play(is('heard', 'back again'), 'say:back again');
  await player.play(is('bye', undefined), 'bye');
  await player.ask(`lr:${player.key}`, 'lr');
}

// The addresses of SERVER,SERVER. A name without one may be that of a server that is gone.
async function addresses(servers) {
  // One kind of address in all we do: IPv4. A name may have several.
  const find = async (host) => (await dns.lookup(host, { family: 4, all: true })).map(({ address }) => ({ host, address }));
  const found = await Promise.all(servers.split(',').map((host) => find(host).catch((error) => {
    console.error(`${error.message}; leaving it out`);
    return [];
  })));
  if (!found.flat().length) throw new Error('no server has an address');
  return found.flat();
}

async function main([server, port, role, name]) {
  if (!name || !['host', 'join'].includes(role)) throw new Error('see the first lines of this file');
  const player = new Player((await addresses(server)).map(({ address }) => address), Number(port));
  await player.openSocket();
  await { host, join }[role](player, name);
  player.socket.close();
  console.log('all is well');
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
