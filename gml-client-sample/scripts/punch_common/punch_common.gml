// Shared by punch_host, punch_client, punch_lobby and punch_events: states, message bytes, times, and the
// control connection (TCP) to the master server. A game calls nothing in here.

// States of hosts, clients and lobbies, as punch_host_state() and the others give them.
#macro PUNCH_IDLE "idle"                // nothing asked for
#macro PUNCH_ASKING "asking"            // talking to the master server
#macro PUNCH_PUNCHING "punching"        // client: knocking at the host
#macro PUNCH_CONNECTED "connected"      // client: playing; host: known to the master server
#macro PUNCH_FAILED "failed"            // over; the reason says why

// By which way a client is connected, as punch_client_way() gives it.
#macro PUNCH_DIRECT "direct"
#macro PUNCH_SECOND "second address"    // one that the master server told later: most likely a relay

// Times, in milliseconds.
#macro PUNCH_CONNECT_TIMEOUT 5000       // for the TCP connection to the master server
#macro PUNCH_BACKOFF_FIRST 500          // wait before connecting again; doubled each time
#macro PUNCH_BACKOFF_MOST 30000
#macro PUNCH_REFRESH_FIRST 500          // host: registers again; the wait doubles each time
#macro PUNCH_REFRESH_EVERY 20000        // and is this at most; many NATs forget after 30 s
#macro PUNCH_PROBE_EVERY 5000           // host: asks whether the master server is still there
#macro PUNCH_PROBE_TIMEOUT 3000         // host: it is gone if it does not answer for so long
#macro PUNCH_REG_BEFORE_REG2 250        // so that the UDP packet arrives before the TCP message
#macro PUNCH_DATA_EVERY 1000            // host: changed data strings are sent at most this often
#macro PUNCH_HELLO_EVERY 500            // client: the UDP packet to the master server
#macro PUNCH_ANSWER_TIMEOUT 11000       // the master server may wait 10 s for a UDP packet
#macro PUNCH_ASKING_TIMEOUT 25000       // client: all tries to reach the master server
#macro PUNCH_LOBBY_TIMEOUT 10000
#macro PUNCH_SILENT_TIMEOUT 3000        // a master server may say nothing for so long while there is another one
#macro PUNCH_KNOCK_EVERY 100
#macro PUNCH_PUNCHING_TIMEOUT 15000
#macro PUNCH_WELCOME_EVERY 50
#macro PUNCH_KEEPALIVE_EVERY 5000       // client: asks the host for its data again
#macro PUNCH_SILENCE_TIMEOUT 20000      // a player or host that says nothing is gone
#macro PUNCH_LAST_NUL_WAIT 250          // old master servers leave out the last NUL

// Limits.
#macro PUNCH_WELCOMES 4
#macro PUNCH_MOST_PLAYERS 32
#macro PUNCH_MOST_INTRODUCTIONS 64
#macro PUNCH_MOST_OTHERS 8              // client: more endpoints of one host
#macro PUNCH_MOST_INBOX 4194304         // bytes; a lobby of some ten thousand games

#macro PUNCH_VERSION "1.2.4"            // of the GMnet PUNCH scripts that these stand in for
#macro PUNCH_DATA_STRINGS 8

/// The first byte of a message.
enum PUNCH_BYTE {
    VERSION = 0xF6,             // from the master server, TCP
    LOBBY = 0xF9,               // from the master server, TCP
    DATA = 0xFA,                // host to client, UDP
    DATA_REQUEST = 0xFB,        // client to host, UDP
    WELCOME = 0xFC,             // host to client, UDP
    KNOCK = 0xFD,               // both ways, UDP
    NOT_FOUND = 0xFE,           // from the master server, TCP
    INTRODUCTION = 0xFF        // from the master server, TCP
}

/// @desc Enters a state and notes when.
/// @param {Struct} _it       a PunchHost, PunchClient or PunchLobby
/// @param {String} _state    one of the PUNCH_... states
/// @param {String} [_reason] what went wrong, as a sentence for the player
/// @ignore
function __punch_set_state(_it, _state, _reason = "") {
    if (_it.state != _state) _it.state_since = current_time;
    _it.state = _state;
    _it.reason = _reason;
}

/// @desc Makes a UDP socket. It is one for servers in clients too: of packets to the other kind
///       GameMaker did not always say who had sent them.
/// @param {Real} _port  0 for any that is free
/// @returns {Id.Socket} -1 if the port is in use
/// @ignore
function __punch_create_udp(_port) {
    if (_port > 0) return network_create_server(network_socket_udp, _port, PUNCH_MOST_PLAYERS);
    // The timer counts microseconds, so two games rarely begin to look at the same port.
    var _first = get_timer() mod 16000, _socket = -1;
    for (var _i = 0; _i < 100 && _socket < 0; ++_i) {
        _socket = network_create_server(network_socket_udp, 49152 + (_first + 37 * _i) mod 16000, PUNCH_MOST_PLAYERS);
    }
    return _socket;
}

/// @desc Sends bytes over UDP, behind GameMaker's header.
/// @param {Id.Socket} _socket
/// @param {String} _ip
/// @param {Real} _port
/// @param {Real} _byte     the first byte, or -1 for none
/// @param {Array<String>} [_strings]  each is followed by a NUL
/// @ignore
function __punch_send_udp(_socket, _ip, _port, _byte, _strings = []) {
    var _buffer = buffer_create(16, buffer_grow, 1);
    if (_byte >= 0) buffer_write(_buffer, buffer_u8, _byte);
    for (var _i = 0; _i < array_length(_strings); ++_i) {
        buffer_write(_buffer, buffer_string, _strings[_i]);
    }
    network_send_udp(_socket, _ip, _port, _buffer, buffer_tell(_buffer));
    buffer_delete(_buffer);
}

/// @desc Who sent the packet in async_load. Some platforms write IPv4 addresses the IPv6 way.
/// @returns {String}
/// @ignore
function __punch_event_ip() {
    return string_replace(__punch_event_ip_as_told(), "::ffff:", "");
}

/// @desc The same as the runtime says it.
/// @ignore
function __punch_event_ip_as_told() {
    return async_load[? "ip"];
}

/// @desc The whole address of who sent a packet, if it is one that is known: some runtimes leave out
///       the last character. The port has to be the right one, so that nobody else is meant.
/// @param {String} _ip  as the event has it
/// @param {Real} _port
/// @param {String} _known_ip
/// @param {Real} _known_port
/// @returns {String} the known one, or the same as before
/// @ignore
function __punch_whole_ip(_ip, _port, _known_ip, _known_port) {
    var _length = string_length(_ip);
    var _is_cut = _port == _known_port && string_length(_known_ip) == _length + 1;
    return (_is_cut && string_copy(_known_ip, 1, _length) == _ip) ? _known_ip : _ip;
}

/// @desc Whether a UDP packet that begins with this byte is the game's own.
/// @returns {Bool}
/// @ignore
function __punch_is_game_byte(_byte) {
    return _byte < PUNCH_BYTE.DATA || _byte > PUNCH_BYTE.KNOCK;
}

/// @desc One line of text: what would end it is made a space.
/// @param {Any} _value
/// @returns {String}
/// @ignore
function __punch_line(_value) {
    var _text = string_replace_all(string(_value), "\n", " ");
    return string_replace_all(_text, "\r", " ");
}

// --- The control connection ------------------------------------------------------------

/// @desc A TCP connection to the master server that never blocks the game. It connects again
///       by itself, less and less often, and keeps what arrives until a message is complete.
/// @param {String} _address  the master server's IP address; a name is looked up, which can
///                           hold up the game for a moment. Several, separated by commas: the
///                           next one is tried when one does not answer or is gone
/// @param {Real} _port
/// @param {Real} [_kind]    network_socket_ws or network_socket_wss: a WebSocket
/// @param {String} [_path]  of a WebSocket
/// @ignore
function __PunchControl(_address, _port, _kind = network_socket_tcp, _path = "") constructor {
    addresses = string_split(string_replace_all(_address, " ", ""), ",");
    address = addresses[0];     // the one that is used now
    path = _path;
    port = _port;
    kind = _kind;
    // Where to connect: the address in numbers, once it is known. A WebSocket needs the name.
    ip = (kind == network_socket_tcp) ? "" : address + _path;
    socket = -1;                // -1: no socket, see retry_at
    is_open = false;
    connection = 0;             // counts connections that were opened
    connecting_since = 0;
    failures = 0;               // in a row, since the master server last answered
    retry_at = 0;
    inbox = buffer_create(256, buffer_grow, 1);
    inbox_start = 0;            // bytes before it have been read
    inbox_end = 0;
    inbox_searched = 0;         // no line end before it
    received_at = 0;
}

/// @desc Keeps the connection up: call it once per step while one is wanted.
/// @param {Struct.__PunchControl} _control
/// @ignore
function __punch_control_step(_control) {
    if (_control.socket >= 0) {
        if (!_control.is_open && current_time - _control.connecting_since
                > __punch_control_patience(_control, PUNCH_CONNECT_TIMEOUT)) {
            __punch_control_lost(_control);
        }
        return;
    }
    if (current_time < _control.retry_at) return;
    if (_control.ip == "") {
        var _is_name = string_letters(_control.address) != "";
        _control.ip = _is_name ? network_resolve(_control.address) : _control.address;
    }
    _control.connecting_since = current_time;
    _control.socket = network_create_socket(_control.kind);
    if (_control.ip == "" || _control.socket < 0
            || network_connect_raw_async(_control.socket, _control.ip, _control.port) < 0) {
        __punch_control_lost(_control);
    }
}

/// @desc How long to wait for something of the master server: not for long while there is one that was not tried.
/// @param {Struct.__PunchControl} _control
/// @param {Real} _most
/// @returns {Real} milliseconds
/// @ignore
function __punch_control_patience(_control, _most) {
    return (_control.failures < array_length(_control.addresses) - 1) ? min(_most, PUNCH_SILENT_TIMEOUT) : _most;
}

/// @desc Gives the connection up. Each master server is tried once; the next round comes after a wait
///       that doubles each time.
/// @param {Struct.__PunchControl} _control
/// @ignore
function __punch_control_lost(_control) {
    __punch_control_close(_control);
    var _count = array_length(_control.addresses);
    if (_count > 1) {
        array_push(_control.addresses, array_shift(_control.addresses));
        _control.address = _control.addresses[0];
        _control.ip = (_control.kind == network_socket_tcp) ? "" : _control.address + _control.path;
    }
    _control.failures += 1;
    if (_control.failures mod _count != 0) {
        _control.retry_at = current_time;
        return;
    }
    var _rounds = _control.failures div _count;
    var _wait = min(PUNCH_BACKOFF_MOST, PUNCH_BACKOFF_FIRST * power(2, min(_rounds - 1, 10)));
    // Up to a quarter more, so that all games do not come back at the same moment. The timer
    // is random enough, and leaves the game's random numbers alone.
    _control.retry_at = current_time + _wait * (1 + 0.25 * (get_timer() mod 1000) / 1000);
}

/// @desc Closes the connection and forgets what arrived.
/// @param {Struct.__PunchControl} _control
/// @ignore
function __punch_control_close(_control) {
    if (_control.socket >= 0) network_destroy(_control.socket);
    _control.socket = -1;
    _control.is_open = false;
    _control.inbox_start = 0;
    _control.inbox_end = 0;
    _control.inbox_searched = 0;
}

/// @desc Closes the connection and frees its memory.
/// @param {Struct.__PunchControl} _control
/// @ignore
function __punch_control_destroy(_control) {
    __punch_control_close(_control);
    if (buffer_exists(_control.inbox)) buffer_delete(_control.inbox);
}

/// @desc Closes the connection so that the next step connects anew, without a wait.
/// @param {Struct.__PunchControl} _control
/// @ignore
function __punch_control_restart(_control) {
    __punch_control_close(_control);
    _control.failures = 0;
    _control.retry_at = 0;
}

/// @desc The sentence for a player who waits for a master server that is away, or "".
/// @param {Struct.__PunchControl} _control
/// @returns {String}
/// @ignore
function __punch_control_trouble(_control) {
    if (_control.is_open || _control.failures == 0) return "";
    if (_control.ip == "") {
        return "The address of the master server, " + _control.address + ", is unknown; check its spelling.";
    }
    return "The master server at " + _control.address + ":" + string(_control.port)
        + " does not answer; check your internet connection.";
}

/// @desc Sends lines of text to the master server, all at once.
/// @param {Struct.__PunchControl} _control
/// @param {Array<String>} _lines
/// @ignore
function __punch_control_send(_control, _lines) {
    var _buffer = buffer_create(64, buffer_grow, 1);
    for (var _i = 0; _i < array_length(_lines); ++_i) {
        buffer_write(_buffer, buffer_text, _lines[_i] + "\n");
    }
    var _sent = network_send_raw(_control.socket, _buffer, buffer_tell(_buffer));
    buffer_delete(_buffer);
    if (_sent < 0) __punch_control_lost(_control);
}

/// @desc Takes what the Async - Networking event brought, if it is of this connection.
/// @param {Struct.__PunchControl} _control
/// @returns {Bool} whether it was
/// @ignore
function __punch_control_network_event(_control) {
    if (_control.socket < 0 || async_load[? "id"] != _control.socket) return false;
    switch (async_load[? "type"]) {
        case network_type_non_blocking_connect:
            if (async_load[? "succeeded"]) {
                _control.is_open = true;
                _control.connection += 1;
            } else {
                __punch_control_lost(_control);
            }
            break;
        case network_type_disconnect:
            __punch_control_lost(_control);
            break;
        case network_type_data:
            __punch_control_receive(_control, async_load[? "buffer"], async_load[? "size"]);
            break;
    }
    return true;
}

/// @desc Adds received bytes to those that wait: a message can come in pieces, or several
///       in one event.
/// @param {Struct.__PunchControl} _control
/// @param {Id.Buffer} _buffer
/// @param {Real} _size
/// @ignore
function __punch_control_receive(_control, _buffer, _size) {
    var _is_message = _control.kind != network_socket_tcp;
    var _needed = _control.inbox_end + _size + _is_message;
    if (_needed > PUNCH_MOST_INBOX) {
        __punch_control_lost(_control);
        return;
    }
    if (_needed > buffer_get_size(_control.inbox)) {
        buffer_resize(_control.inbox, max(_needed, 2 * buffer_get_size(_control.inbox)));
    }
    buffer_copy(_buffer, 0, _size, _control.inbox, _control.inbox_end);
    // A WebSocket has messages of one line each, without its end.
    if (_is_message) buffer_poke(_control.inbox, _needed - 1, buffer_u8, 0x0A);
    _control.inbox_end = _needed;
    _control.received_at = current_time;
}

/// @desc Takes the next complete message out of the bytes that wait.
/// @param {Struct.__PunchControl} _control
/// @returns {Struct|Undefined} with type (a PUNCH_BYTE) and, by type, ip and port, or text;
///                              undefined if there is none yet
/// @ignore
function __punch_control_next_message(_control) {
    while (_control.inbox_start < _control.inbox_end) {
        var _start = _control.inbox_start, _end = 0;
        var _type = buffer_peek(_control.inbox, _start, buffer_u8);
        switch (_type) {
            case PUNCH_BYTE.INTRODUCTION:
                // FF, IP, NUL, port, NUL; some master servers leave out the last NUL.
                var _ip_end = __punch_control_find(_control, _start + 1, 0);
                if (_ip_end < 0) return undefined;
                _end = _ip_end + 1;
                while (_end < _control.inbox_end && __punch_is_digit(buffer_peek(_control.inbox, _end, buffer_u8))) {
                    ++_end;
                }
                if (_end == _control.inbox_end && (_end == _ip_end + 1
                        || current_time - _control.received_at < PUNCH_LAST_NUL_WAIT)) {
                    return undefined;
                }
                var _port = __punch_control_text(_control, _ip_end + 1, _end);
                var _message = {
                    type : _type,
                    ip : __punch_control_text(_control, _start + 1, _ip_end),
                    port : (_port == "") ? 0 : real(_port)
                };
                __punch_control_read_to(_control, _end);
                return _message;

            case PUNCH_BYTE.LOBBY:
            case PUNCH_BYTE.VERSION:
                _end = __punch_control_find(_control, max(_start + 1, _control.inbox_searched), 0x0A);
                if (_end < 0) {
                    _control.inbox_searched = _control.inbox_end;
                    return undefined;
                }
                var _text = __punch_control_text(_control, _start + 1, _end);
                __punch_control_read_to(_control, _end + 1);
                return { type : _type, text : _text };

            case PUNCH_BYTE.NOT_FOUND:
                __punch_control_read_to(_control, _start + 1);
                return { type : _type };

            case 0:             // the last NUL of an introduction
                __punch_control_read_to(_control, _start + 1);
                break;

            default:            // nothing that a master server says: where a message begins is unknown
                __punch_control_read_to(_control, _control.inbox_end);
        }
    }
    return undefined;
}

/// @desc Takes the next line out of the bytes that wait.
/// @param {Struct.__PunchControl} _control
/// @returns {String|Undefined} undefined if there is none yet
/// @ignore
function __punch_control_next_line(_control) {
    var _start = _control.inbox_start;
    var _end = __punch_control_find(_control, max(_start, _control.inbox_searched), 0x0A);
    if (_end < 0) {
        _control.inbox_searched = _control.inbox_end;
        return undefined;
    }
    var _text = __punch_control_text(_control, _start, _end);
    __punch_control_read_to(_control, _end + 1);
    return _text;
}

/// @ignore
function __punch_is_digit(_byte) {
    return _byte >= ord("0") && _byte <= ord("9");
}

/// @desc Where a byte stands in the inbox, or -1.
/// @ignore
function __punch_control_find(_control, _from, _byte) {
    for (var _i = _from; _i < _control.inbox_end; ++_i) {
        if (buffer_peek(_control.inbox, _i, buffer_u8) == _byte) return _i;
    }
    return -1;
}

/// @desc The bytes of the inbox between two places, as text.
/// @ignore
function __punch_control_text(_control, _from, _to) {
    var _copy = buffer_create(_to - _from + 1, buffer_fixed, 1);
    buffer_copy(_control.inbox, _from, _to - _from, _copy, 0);
    buffer_poke(_copy, _to - _from, buffer_u8, 0);
    var _text = buffer_read(_copy, buffer_string);
    buffer_delete(_copy);
    return _text;
}

/// @desc Drops the bytes of the inbox before a place.
/// @ignore
function __punch_control_read_to(_control, _place) {
    _control.inbox_start = _place;
    _control.inbox_searched = _place;
    if (_place == _control.inbox_end) {
        _control.inbox_start = 0;
        _control.inbox_end = 0;
        _control.inbox_searched = 0;
    }
}
