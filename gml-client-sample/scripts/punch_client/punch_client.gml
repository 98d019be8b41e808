// A game that joins another. Create it, call punch_client_join(), punch_client_step() in the
// Step event and punch_client_network_event() in the Async - Networking event, and destroy it
// in the Clean Up event.

/// @desc Makes a client. It does nothing until punch_client_join().
/// @param {String} _master_address  IP address of the master server; of several with commas between
/// @param {Real} _master_port
/// @returns {Struct.PunchClient}
function punch_client_create(_master_address, _master_port) {
    return new PunchClient(_master_address, _master_port);
}

/// @desc What punch_client_create() gives. Read it as you like; change it with the functions.
/// @param {String} _master_address
/// @param {Real} _master_port
function PunchClient(_master_address, _master_port) constructor {
    control = new __PunchControl(_master_address, _master_port);
    target = "";                // what was asked for: the host's address as the lobby shows it
    host_ip = "";
    host_port = 0;              // as the master server told, later as the host's packets show
    others = [];                // where else the master server says it is: { ip, port }, by a relay
    way = "";                   // by which way it got through
    direct_port = 0;            // as the game gave it: the last resort
    host_data = [];
    asked_on = 0;               // the control connection on which the question was asked
    ask_at = 0;
    answer_until = 0;
    give_up_at = 0;
    next_hello = 0;
    next_knock = 0;
    next_request = 0;
    heard_at = 0;
    state = PUNCH_IDLE;
    state_since = current_time;
    reason = "";
    socket = __punch_create_udp(0);
    if (socket < 0) {
        __punch_set_state(self, PUNCH_FAILED, "No UDP socket can be had; close other programs and start the game again.");
    }
}

/// @desc Joins a host; see punch_client_state() for how far it is. A join that is under way ends.
/// @param {Struct.PunchClient} _client
/// @param {String|Struct.PunchLobbyEntry} _target  the host's IP address, or an entry of the lobby
/// @param {Real} [_direct_port]  the host's game port, if you know it: tried as well, and
///                               alone when the master server cannot help
function punch_client_join(_client, _target, _direct_port = 0) {
    if (_client.socket < 0) return;
    _client.target = is_struct(_target) ? _target.ip : string(_target);
    // Lobbies may show hosts that share an address as IP:PORT.
    var _colon = string_pos(":", _client.target);
    _client.host_ip = (_colon > 0) ? string_copy(_client.target, 1, _colon - 1) : _client.target;
    _client.host_port = 0;
    _client.others = [];
    _client.way = "";
    _client.direct_port = _direct_port;
    _client.host_data = [];
    _client.ask_at = current_time;
    _client.give_up_at = current_time + PUNCH_ASKING_TIMEOUT;
    _client.next_hello = current_time;
    __punch_control_restart(_client.control);
    __punch_set_state(_client, PUNCH_ASKING);
}

/// @desc Does what is due; call it in the Step event. It works at any game speed.
/// @param {Struct.PunchClient} _client
function punch_client_step(_client) {
    switch (_client.state) {
        case PUNCH_ASKING:
            __punch_client_read_control(_client);
            if (_client.state == PUNCH_ASKING) __punch_client_ask(_client);
            break;
        case PUNCH_PUNCHING:
            // A second introduction may come, to a relay: so the connection stays until the welcome.
            __punch_client_read_control(_client);
            __punch_client_knock(_client);
            break;
        case PUNCH_CONNECTED:
            if (current_time - _client.heard_at > PUNCH_SILENCE_TIMEOUT) {
                __punch_client_fail(_client, "The host does not answer any more; it has left, or its connection is down.");
            } else {
                __punch_client_request(_client);
            }
            break;
    }
}

/// @desc Takes part in the Async - Networking event; call it there.
/// @param {Struct.PunchClient} _client
/// @returns {Bool} whether a packet of the host is in async_load for your game to read
function punch_client_network_event(_client) {
    if (_client.socket < 0 || __punch_control_network_event(_client.control)) return false;
    if (async_load[? "id"] != _client.socket || async_load[? "type"] != network_type_data
            || async_load[? "size"] < 1) {
        return false;
    }
    var _port = async_load[? "port"];
    var _ip = __punch_client_whole_ip(_client, __punch_event_ip(), _port);
    var _is_other = __punch_client_find_other(_client, _ip, _port);
    if (_ip != _client.host_ip && !_is_other) return false;
    var _byte = buffer_peek(async_load[? "buffer"], 0, buffer_u8);
    if (_client.state == PUNCH_PUNCHING) {
        switch (_byte) {
            case PUNCH_BYTE.KNOCK:
                // The NAT of the host uses another port towards us than towards the master server.
                if (!_is_other && _client.host_port != _port) {
                    _client.host_port = _port;
                    _client.next_knock = 0;
                }
                break;
            case PUNCH_BYTE.WELCOME:
            case PUNCH_BYTE.DATA:       // answers our request, so all welcomes were lost
                _client.host_ip = _ip;
                _client.host_port = _port;
                _client.way = _is_other ? PUNCH_SECOND : PUNCH_DIRECT;
                _client.others = [];
                __punch_control_close(_client.control);
                _client.heard_at = current_time;
                _client.next_request = 0;
                __punch_set_state(_client, PUNCH_CONNECTED);
                if (_byte == PUNCH_BYTE.DATA) __punch_client_read_data(_client);
                break;
        }
        return false;
    }
    if (_client.state != PUNCH_CONNECTED || _port != _client.host_port) return false;
    _client.heard_at = current_time;
    if (_byte == PUNCH_BYTE.DATA) __punch_client_read_data(_client);
    return __punch_is_game_byte(_byte);
}

/// @desc Sends a packet of your game to the host. Its first byte cannot be 0xFA to 0xFD.
/// @param {Struct.PunchClient} _client
/// @param {Id.Buffer} _buffer
/// @param {Real} _size
function punch_client_send(_client, _buffer, _size) {
    if (_client.state == PUNCH_CONNECTED) {
        network_send_udp(_client.socket, _client.host_ip, _client.host_port, _buffer, _size);
    }
}

/// @desc PUNCH_IDLE before a join, PUNCH_ASKING while the master server is asked,
///       PUNCH_PUNCHING, PUNCH_CONNECTED, or PUNCH_FAILED.
/// @param {Struct.PunchClient} _client
/// @returns {String}
function punch_client_state(_client) {
    return _client.state;
}

/// @desc For how many seconds it has been in that state.
/// @param {Struct.PunchClient} _client
/// @returns {Real}
function punch_client_state_time(_client) {
    return (current_time - _client.state_since) / 1000;
}

/// @desc Why it failed, or what keeps it waiting, as a sentence to show; "" if all is well.
/// @param {Struct.PunchClient} _client
/// @returns {String}
function punch_client_reason(_client) {
    if (_client.state == PUNCH_ASKING) return __punch_control_trouble(_client.control);
    return _client.reason;
}

/// @desc By which way it is connected: PUNCH_DIRECT, or PUNCH_SECOND by another endpoint that the
///       master server told when nothing had come through, most likely its relay. "" before.
/// @param {Struct.PunchClient} _client
/// @returns {String}
function punch_client_way(_client) {
    return _client.way;
}

/// @desc The eight data strings of the host once connected; an empty array before they came.
/// @param {Struct.PunchClient} _client
/// @returns {Array<String>}
function punch_client_host_data(_client) {
    return _client.host_data;
}

/// @desc Leaves the host, or stops trying.
/// @param {Struct.PunchClient} _client
function punch_client_leave(_client) {
    __punch_control_close(_client.control);
    if (_client.socket >= 0) __punch_set_state(_client, PUNCH_IDLE);
}

/// @desc Leaves and frees everything. Do not use the client afterwards.
/// @param {Struct.PunchClient} _client
function punch_client_destroy(_client) {
    punch_client_leave(_client);
    __punch_control_destroy(_client.control);
    if (_client.socket >= 0) network_destroy(_client.socket);
    _client.socket = -1;
}

// --- What the above is made of ---------------------------------------------------------

/// @ignore
function __punch_client_fail(_client, _reason) {
    __punch_control_close(_client.control);
    __punch_set_state(_client, PUNCH_FAILED, _reason);
}

/// @desc Asks the master server for the host.
/// @ignore
function __punch_client_ask(_client) {
    var _control = _client.control;
    if (current_time >= _client.give_up_at) {
        var _trouble = __punch_control_trouble(_control);
        __punch_client_try_direct(_client, (_trouble != "") ? _trouble
            : "The master server does not say where the host is; try again in a minute.");
        return;
    }
    // With a port to try there is no need to wait for a master server that is away.
    if (_client.direct_port > 0 && _control.failures >= array_length(_control.addresses)) {
        __punch_client_try_direct(_client, "");
        return;
    }
    __punch_control_step(_control);
    // Tells the master server our UDP port. Repeated, as it may be lost; until the name of
    // the master server is looked up there is nowhere to send it.
    if (current_time >= _client.next_hello && _control.ip != "") {
        _client.next_hello = current_time + PUNCH_HELLO_EVERY;
        __punch_send_udp(_client.socket, _control.ip, _control.port, -1, ["connect\n"]);
        // Has no answer, but cannot be sent for long if the master server has gone.
        if (_control.is_open && _client.asked_on == _control.connection) __punch_control_send(_control, ["ping"]);
    }
    if (!_control.is_open) return;
    if (_client.asked_on != _control.connection) {
        if (current_time < _client.ask_at) return;
        _client.asked_on = _control.connection;
        _client.answer_until = current_time + __punch_control_patience(_control, PUNCH_ANSWER_TIMEOUT);
        __punch_control_send(_control, ["connect", __punch_line(_client.target)]);
    } else if (current_time >= _client.answer_until) {
        __punch_control_lost(_control);
    }
}

/// @desc Reads the master server's answer, and what it adds to it.
/// @ignore
function __punch_client_read_control(_client) {
    while (_client.state == PUNCH_ASKING || _client.state == PUNCH_PUNCHING) {
        var _message = __punch_control_next_message(_client.control);
        if (_message == undefined) return;
        switch (_message.type) {
            case PUNCH_BYTE.INTRODUCTION:
                if (_client.state == PUNCH_PUNCHING) {
                    __punch_client_add_other(_client, _message.ip, _message.port);
                } else if (_message.port >= 1 && _message.port <= 65535) {
                    __punch_client_punch(_client, _message.ip, _message.port);
                } else {
                    // Old master servers say port 0 while they do not know it: ask again.
                    _client.asked_on = 0;
                    _client.ask_at = current_time + 1000;
                }
                break;
            case PUNCH_BYTE.NOT_FOUND:
                if (_client.state == PUNCH_ASKING) __punch_client_try_direct(_client, "No game is hosted at " + _client.target
                    + "; refresh the list of games and try again.");
                break;
        }
    }
}

/// @desc Punches without the master server if the game gave a port, else gives up.
/// @ignore
function __punch_client_try_direct(_client, _reason) {
    if (_client.direct_port > 0) {
        __punch_control_close(_client.control);
        __punch_client_punch(_client, _client.host_ip, _client.direct_port);
    } else {
        __punch_client_fail(_client, _reason);
    }
}

/// @desc Begins to knock at the host.
/// @ignore
function __punch_client_punch(_client, _ip, _port) {
    _client.host_ip = _ip;
    _client.host_port = _port;
    _client.give_up_at = current_time + PUNCH_PUNCHING_TIMEOUT;
    _client.next_knock = 0;
    _client.next_request = 0;
    __punch_set_state(_client, PUNCH_PUNCHING);
}

/// @desc Goes on to knock where it did, and here as well.
/// @ignore
function __punch_client_add_other(_client, _ip, _port) {
    if (_port < 1 || _port > 65535 || (_ip == _client.host_ip && _port == _client.host_port)
            || array_length(_client.others) >= PUNCH_MOST_OTHERS
            || __punch_client_find_other(_client, _ip, _port)) {
        return;
    }
    array_push(_client.others, { ip : _ip, port : _port });
    _client.give_up_at = current_time + PUNCH_PUNCHING_TIMEOUT;
    _client.next_knock = 0;
}

/// @desc The address of a packet, whole if it is the host's.
/// @ignore
function __punch_client_whole_ip(_client, _ip, _port) {
    _ip = __punch_whole_ip(_ip, _port, _client.host_ip, _client.host_port);
    for (var _i = 0; _i < array_length(_client.others); ++_i) {
        _ip = __punch_whole_ip(_ip, _port, _client.others[_i].ip, _client.others[_i].port);
    }
    return _ip;
}

/// @desc Whether the host may be there, by what the master server told later.
/// @ignore
function __punch_client_find_other(_client, _ip, _port) {
    for (var _i = 0; _i < array_length(_client.others); ++_i) {
        if (_client.others[_i].port == _port && _client.others[_i].ip == _ip) return true;
    }
    return false;
}

/// @desc Knocks at the host until it welcomes us.
/// @ignore
function __punch_client_knock(_client) {
    if (current_time >= _client.give_up_at) {
        __punch_client_fail(_client, (array_length(_client.others) > 0)
            ? "The host was found but cannot be reached, not even by a relay; a firewall there or here blocks the game."
            : "The host was found but cannot be reached; its router or yours, or a firewall, lets no packets through.");
        return;
    }
    if (current_time < _client.next_knock) return;
    _client.next_knock = current_time + PUNCH_KNOCK_EVERY;
    for (var _i = 0; _i < array_length(_client.others); ++_i) {
        var _other = _client.others[_i];
        __punch_send_udp(_client.socket, _other.ip, _other.port, PUNCH_BYTE.KNOCK);
    }
    __punch_client_knock_at(_client, _client.host_port);
    if (_client.direct_port > 0 && _client.direct_port != _client.host_port) {
        __punch_client_knock_at(_client, _client.direct_port);
    }
    // Some NATs number the ports of new destinations one after another: after a quarter of
    // the time the next ports are tried too, one more each half second.
    var _more = min(20, floor((current_time - _client.state_since - PUNCH_PUNCHING_TIMEOUT / 4) / 500));
    for (var _i = 1; _i <= _more && _client.host_port + _i <= 65535; ++_i) {
        __punch_client_knock_at(_client, _client.host_port + _i);
    }
    // Should all welcomes be lost, the host's data show that we are in.
    __punch_client_request(_client);
}

/// @ignore
function __punch_client_knock_at(_client, _port) {
    __punch_send_udp(_client.socket, _client.host_ip, _port, PUNCH_BYTE.KNOCK);
}

/// @desc Asks for the host's data strings: soon, until they came; then now and then, which
///       keeps the NATs open and shows both sides that the other is there.
/// @ignore
function __punch_client_request(_client) {
    if (current_time < _client.next_request) return;
    var _has_data = array_length(_client.host_data) > 0;
    _client.next_request = current_time + (_has_data ? PUNCH_KEEPALIVE_EVERY : PUNCH_HELLO_EVERY);
    __punch_send_udp(_client.socket, _client.host_ip, _client.host_port, PUNCH_BYTE.DATA_REQUEST);
    for (var _i = 0; _i < array_length(_client.others); ++_i) {
        __punch_send_udp(_client.socket, _client.others[_i].ip, _client.others[_i].port, PUNCH_BYTE.DATA_REQUEST);
    }
}

/// @desc Reads the host's data strings out of the packet in async_load.
/// @ignore
function __punch_client_read_data(_client) {
    var _buffer = async_load[? "buffer"], _size = async_load[? "size"];
    _client.host_data = array_create(PUNCH_DATA_STRINGS, "");
    buffer_seek(_buffer, buffer_seek_start, 1);
    for (var _i = 0; _i < PUNCH_DATA_STRINGS && buffer_tell(_buffer) < _size; ++_i) {
        _client.host_data[_i] = buffer_read(_buffer, buffer_string);
    }
}
