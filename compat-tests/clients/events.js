#!/usr/bin/env node
// A minimal client of the events dialect for Node, without packages.
//
// usage: node events.js SERVER PORT host ROOM [CERTIFICATE]     make a room, and play with one who joins
//        node events.js SERVER PORT join ROOM [CERTIFICATE]     find that room and play
//
// SERVER may be several, separated by commas: when one does not answer, or its connection ends, the next is asked.
// With CERTIFICATE, a file with whom to trust, or `system`, the connection is encrypted. The packets between players
// carry the nonce of the introduction, and behind it `knock`, `here`, `say:TEXT`, answered `heard:TEXT`, or `bye`,
// answered `bye`.
'use strict';
const crypto = require('crypto');
const dgram = require('dgram');
const dns = require('dns').promises;
const fs = require('fs');
const net = require('net');
const tls = require('tls');

const PATIENCE = 20000; // milliseconds for each step, with all that may get lost
const AGAIN = 500; // the token is sent again until it is answered
const KNOCK = 100; // between two knocks
const OWN = { app: 'minimal' }; // own data of the rooms of this client, and what it looks for
const ALIVE = 20000; // between two tokens, so that the NAT keeps its mapping
const WATCH = 1000; // between two looks whether the server is there, if there is another one
const SILENT = 3000; // so long it may take to answer then

/** A connection for events, and a UDP socket for the game. */
class Player {
  /** `servers` have a name and an address each. */
  constructor(servers, port, certificate) {
    Object.assign(this, { servers, port, certificate });
    this.patience = servers.length > 1 ? SILENT : PATIENCE;
    this.udp = dgram.createSocket('udp4');
    this.udp.on('error', () => {});
    this.udp.on('message', (data, { address: ip, port: from }) => {
      this.datagram(`${ip}:${from}`, data.toString().split(':'));
    });
  }

  /** To the first server; the next time it is the next one's turn. */
  open() {
    const { servers, port, certificate } = this;
    const [{ host, address }] = servers;
    servers.push(servers.shift());
    this.server = `${address}:${port}`;
    if (this.link) this.link.removeAllListeners().on('error', () => {}).destroy();
    this.peer = this.isSeen = undefined;
    this.number = 0;
    this.unread = '';
    this.answers = new Map(); // requests that wait
    this.listener = () => {};
    const at = { host: address, port };
    if (certificate) {
      const ca = certificate === 'system' ? undefined : fs.readFileSync(certificate);
      this.link = tls.connect({ ...at, ca, servername: host });
    } else {
      this.link = net.connect(at);
    }
    this.link.setNoDelay(true);
    this.link.setEncoding('utf8');
    this.link.on('error', (error) => this.onLost(error.message));
    this.link.on('end', () => this.onLost('the server has closed the connection'));
    this.link.on('data', (text) => this.read(text));
  }

  /** Connects and logs in, with the first server that is there: it knows nothing of before. All are tried, then there
   * is a pause. */
  async comeIn() {
    for (let [end, tries] = [Date.now() + PATIENCE, 1]; ; tries += 1) {
      this.open();
      const lost = new Promise((_, reject) => (this.onLost = (why) => reject(new Error(why))));
      try {
        await Promise.race([this.login(), lost]);
        this.onLost = fail;
        return;
      } catch (error) {
        if (Date.now() > end || /certificate/.test(error.message)) throw error;
        if (tries % this.servers.length === 0) await new Promise((resolve) => setTimeout(resolve, AGAIN));
      }
    }
  }

  send(event) {
    this.link.write(`${JSON.stringify(event)}\n`);
  }

  /** What the server sends has a line each. */
  read(text) {
    const lines = (this.unread + text).split('\n');
    this.unread = lines.pop();
    for (const line of lines) this.handle(JSON.parse(line));
  }

  handle(event) {
    if (event.type === 'response' && this.answers.has(event.request_id)) {
      this.answers.get(event.request_id)(event);
      this.answers.delete(event.request_id);
    } else if (event.type === 'request') {
      // The server asks whether we are there.
      const { name, request_id } = event;
      this.send({ type: 'response', name, request_id, data: {} });
    } else if (event.type === 'pass') {
      if (event.name === 'introduce') {
        const { id, ip, port, local, nonce, predict = [] } = event.data;
        const places = [`${ip}:${port}`, ...predict.map((next) => `${ip}:${next}`)];
        places.push(...local.map((each) => `${each.ip}:${each.port}`));
        this.peer = { id, nonce, places, at: undefined };
      }
      this.listener([event.name]);
    }
  }

  ask(name, data) {
    this.number += 1;
    const request_id = this.number;
    this.send({ type: 'request', name, data, request_id });
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer to ${name}`)), this.patience);
      this.answers.set(request_id, (event) => {
        clearTimeout(late);
        if (event.error) reject(new Error(`${name}: ${event.error.message}`));
        else resolve(event.data);
      });
    });
  }

  async login() {
    // IDs are unique on the whole server.
    const id = `player-${crypto.randomBytes(6).toString('hex')}`;
    this.token = `udp:${(await this.ask('login', { id, game: 'minimal' })).udp_token}`;
    if (!this.isBound) await new Promise((resolve) => this.udp.bind(0, resolve));
    this.isBound = true;
  }

  datagram(source, words) {
    if (source === this.server) {
      this.isSeen = this.isSeen || words[0] === 'udp';
    } else if (this.peer && words[0] === this.peer.nonce) {
      // Whoever knows the nonce is the peer, wherever it comes from.
      this.hear(source, words.slice(1));
      this.listener(words.slice(1));
    }
  }

  hear(source, words) {
    if (words[0] === 'here' && !this.peer.at) {
      this.peer.at = source;
      this.send({ type: 'pass', name: 'punch_result', data: { id: this.peer.id, ok: true } });
    } else if (words[0] === 'knock') {
      this.throw(source, 'here');
    } else if (words[0] === 'say') {
      this.throw(source, ['heard', ...words.slice(1)].join(':'));
    } else if (words[0] === 'bye' && this.says !== 'bye') {
      this.throw(source, 'bye');
    }
  }

  throw(where, text) {
    const colon = where.lastIndexOf(':');
    const packet = text === this.token ? text : `${this.peer.nonce}:${text}`;
    this.udp.send(packet, Number(where.slice(colon + 1)), where.slice(0, colon));
  }

  /** Says something to the peer, at all places where it may be until it has answered. */
  tell() {
    if (!this.peer) return;
    if (!this.peer.at) this.peer.places.forEach((place) => this.throw(place, 'knock'));
    else if (this.says) this.throw(this.peer.at, this.says);
  }

  /** Keeps in touch until `done` says so of what the peer has said, or of an event. Says something to it again and
   * again, as any packet may get lost. False: the connection is lost, as when the server is restarted, or it does not
   * answer any more. */
  play(done, say) {
    this.says = say;
    let token = 0;
    let look = Date.now() + WATCH;
    return new Promise((resolve, reject) => {
      const again = setInterval(() => {
        if (Date.now() >= token) {
          this.throw(this.server, this.token);
          token = Date.now() + (this.isSeen ? ALIVE : AGAIN);
        }
        if (this.servers.length > 1 && Date.now() >= look) {
          const { link } = this;
          this.ask('ping', {}).catch((error) => link === this.link && this.onLost(error.message));
          look = Date.now() + WATCH;
        }
        this.tell();
      }, KNOCK);
      const end = (settle, value) => {
        clearInterval(again);
        clearTimeout(late);
        this.listener = () => {};
        this.onLost = fail;
        settle(value);
      };
      const late = setTimeout(() => {
        if (this.peer && !this.peer.at) {
          // Where the server has a relay it goes on there.
          this.send({ type: 'pass', name: 'punch_result', data: { id: this.peer.id, ok: false } });
        }
        end(reject, new Error('the peer does not say what it should'));
      }, PATIENCE);
      this.listener = (words) => done(words) && end(resolve, true);
      this.onLost = () => end(resolve, false);
    });
  }

  /** All rooms of this client that have a place. */
  async rooms() {
    const all = [];
    for (let after = null; ; after = all[all.length - 1].room) {
      const { rooms, more } = await this.ask('list_rooms', { filter: OWN, free: true, after });
      all.push(...rooms);
      if (!more) return all;
    }
  }

  close() {
    this.udp.close();
    this.link.removeAllListeners('end');
    this.link.end();
  }
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

async function host(player, name) {
  const heard = new Set();
  const done = ([verb, text]) => {
    if (verb === 'say' && !heard.has(text)) {
      heard.add(text);
      console.log(`heard ${text}`);
    }
    // Until the server says that the player has left its `bye` may have to be answered.
    return verb === 'player_left';
  };
  for (;;) {
    const { room } = await player.ask('create_room', { name, max_players: 2, data: OWN });
    console.log(`open ${room}`);
    if (await player.play(done)) break;
    await player.comeIn();
  }
  await player.ask('leave_room', {});
}

/** Finds the room of this name, and joins it. */
async function enter(player, name) {
  const end = Date.now() + PATIENCE;
  let wanted;
  for (;;) {
    wanted = (await player.rooms()).find((room) => room.name === name);
    if (wanted || Date.now() >= end) break;
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
  if (!wanted) throw new Error(`there is no room ${name}`);
  await player.ask('join_room', { room: wanted.room });
}

async function join(player, name) {
  for (;;) {
    await enter(player, name);
    const isHeard = await player.play(([verb, text]) => verb === 'heard' && text === 'hello', 'say:hello');
    if (isHeard && (await player.play(([verb]) => verb === 'bye', 'bye'))) break;
    await player.comeIn();
  }
  await player.ask('leave_room', {});
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

async function main([server, port, role, room, certificate]) {
  if (!room || !['host', 'join'].includes(role)) throw new Error('see the first lines of this file');
  const player = new Player(await addresses(server), Number(port), certificate);
  await player.comeIn();
  await { host, join }[role](player, room);
  player.close();
  console.log('all is well');
}

main(process.argv.slice(2)).catch((error) => fail(error.message));
