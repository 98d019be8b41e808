// A game that others can join: it is listed by the master server, and lets clients in that
// knock. Create it, call punch_host_step() in the Step event and punch_host_network_event()
// in the Async - Networking event, and destroy it in the Clean Up event.

/// @desc Starts hosting. It takes a moment until the master server knows the game; see
///       punch_host_state().
/// @param {String} _master_address  IP address of the master server; of several with commas between
/// @param {Real} _master_port
/// @param {Real} _game_port         the UDP port to play on; 0 for any that is free
/// @param {Array<String>} [_data]   up to eight strings that the lobby shows; with "<INV>" as
///                                  the first, the game can be joined but is not listed
/// @returns {Struct.PunchHost}
function punch_host_create(_master_address, _master_port, _game_port, _data = []) {
    return new PunchHost(_master_address, _master_port, _game_port, _data);
}

/// @desc What punch_host_create() gives. Read it as you like; change it with the functions.
/// @param {String} _master_address
/// @param {Real} _master_port
/// @param {Real} _game_port
/// @param {Array<String>} _data
function PunchHost(_master_address, _master_port, _game_port, _data) constructor {
    control = new __PunchControl(_master_address, _master_port);
    data = array_create(PUNCH_DATA_STRINGS, "");
    for (var _i = 0; _i < min(PUNCH_DATA_STRINGS, array_length(_data)); ++_i) {
        data[_i] = __punch_line(_data[_i]);
    }
    players = [];
    introductions = [];         // clients that the master server told of: { ip, port, until, next_knock }
    players_so_far = 0;
    registered_on = 0;          // the control connection that the times below are about
    reg_at = 0;                 // when to send the UDP packet
    reg_wait = 0;               // and how long after that again
    reg2_at = infinity;         // when to send the TCP message
    reg2_sent_at = -infinity;
    probe_at = infinity;        // when to ask whether the master server is still there
    answer_until = infinity;    // when the master server has to have answered
    is_answering = false;       // whether it ever did
    state = PUNCH_ASKING;
    state_since = current_time;
    reason = "";
    socket = __punch_create_udp(_game_port);
    if (socket < 0) {
        __punch_set_state(self, PUNCH_FAILED, "UDP port " + string(_game_port)
            + " is in use; close the other program that uses it, or choose another port.");
    }
}

/// @desc What a player of a host is: `ip` and `port` say where, `game` is yours to fill.
/// @param {Real} _number    1 for the first player, 2 for the next and so on
/// @param {String} _ip
/// @param {Real} _port
function PunchPlayer(_number, _ip, _port) constructor {
    number = _number;
    ip = _ip;
    port = _port;
    game = {};
    joined_at = current_time;
    heard_at = current_time;
    welcomes = PUNCH_WELCOMES;  // still to be sent
    next_welcome = 0;
}

/// @desc Sets one of the strings that the lobby shows, or all of them. The master server is
///       told at once, at most every second.
/// @param {Struct.PunchHost} _host
/// @param {Real} _number   1 to 8
/// @param {String} _text   without line ends
function punch_host_set_data(_host, _number, _text) {
    var _line = __punch_line(_text);
    if (_number < 1 || _number > PUNCH_DATA_STRINGS || _host.data[_number - 1] == _line) return;
    _host.data[_number - 1] = _line;
    // Before the first registration there is nothing to change.
    if (_host.reg2_at == infinity && _host.reg2_sent_at > -infinity) {
        _host.reg2_at = max(current_time, _host.reg2_sent_at + PUNCH_DATA_EVERY);
    }
}

/// @desc Does what is due; call it in the Step event. It works at any game speed.
/// @param {Struct.PunchHost} _host
function punch_host_step(_host) {
    if (_host.socket < 0) return;
    // What has arrived comes first, lest a game that stood still for a while takes it for missing.
    __punch_host_read_control(_host);
    __punch_host_register(_host);
    __punch_host_knock(_host);
    __punch_host_welcome(_host);
}

/// @desc Takes part in the Async - Networking event; call it there.
/// @param {Struct.PunchHost} _host
/// @returns {Struct.PunchPlayer|Undefined} the player whose packet is in async_load for your
///          game to read; undefined if there is nothing for your game
function punch_host_network_event(_host) {
    if (_host.socket < 0 || __punch_control_network_event(_host.control)) return undefined;
    if (async_load[? "id"] != _host.socket || async_load[? "type"] != network_type_data
            || async_load[? "size"] < 1) {
        return undefined;
    }
    var _port = async_load[? "port"];
    var _ip = __punch_host_whole_ip(_host, __punch_event_ip(), _port);
    var _byte = buffer_peek(async_load[? "buffer"], 0, buffer_u8);
    var _player = __punch_host_find(_host.players, _ip, _port);
    if (_player == undefined) {
        // Strangers can only knock. The master server's packets that keep the NAT open end here too.
        if (_byte == PUNCH_BYTE.KNOCK && array_length(_host.players) < PUNCH_MOST_PLAYERS) {
            _host.players_so_far += 1;
            array_push(_host.players, new PunchPlayer(_host.players_so_far, _ip, _port));
        }
        return undefined;
    }
    _player.heard_at = current_time;
    switch (_byte) {
        case PUNCH_BYTE.KNOCK:          // has not heard a welcome yet
            _player.welcomes = max(1, _player.welcomes);
            return undefined;
        case PUNCH_BYTE.DATA_REQUEST:
            __punch_send_udp(_host.socket, _ip, _port, PUNCH_BYTE.DATA, _host.data);
            return undefined;
    }
    return __punch_is_game_byte(_byte) ? _player : undefined;
}

/// @desc The players who are in the game now.
/// @param {Struct.PunchHost} _host
/// @returns {Array<Struct.PunchPlayer>}
function punch_host_players(_host) {
    return _host.players;
}

/// @desc Sends a packet of your game to a player. Its first byte cannot be 0xFA to 0xFD.
/// @param {Struct.PunchHost} _host
/// @param {Struct.PunchPlayer} _player
/// @param {Id.Buffer} _buffer
/// @param {Real} _size
function punch_host_send(_host, _player, _buffer, _size) {
    network_send_udp(_host.socket, _player.ip, _player.port, _buffer, _size);
}

/// @desc Takes a player out of the game. A client that goes on knocking comes back as a new one.
/// @param {Struct.PunchHost} _host
/// @param {Struct.PunchPlayer} _player
function punch_host_remove(_host, _player) {
    for (var _i = array_length(_host.players) - 1; _i >= 0; --_i) {
        if (_host.players[_i] == _player) array_delete(_host.players, _i, 1);
    }
}

/// @desc PUNCH_ASKING until the master server knows the game and whenever it is away,
///       PUNCH_CONNECTED while it does, PUNCH_FAILED if the port could not be had.
/// @param {Struct.PunchHost} _host
/// @returns {String}
function punch_host_state(_host) {
    return _host.state;
}

/// @desc For how many seconds it has been in that state.
/// @param {Struct.PunchHost} _host
/// @returns {Real}
function punch_host_state_time(_host) {
    return (current_time - _host.state_since) / 1000;
}

/// @desc What is wrong, as a sentence to show; "" if nothing is.
/// @param {Struct.PunchHost} _host
/// @returns {String}
function punch_host_reason(_host) {
    return (_host.reason != "") ? _host.reason : __punch_control_trouble(_host.control);
}

/// @desc Stops hosting; the master server forgets the game. Do not use the host afterwards.
/// @param {Struct.PunchHost} _host
function punch_host_destroy(_host) {
    __punch_control_destroy(_host.control);
    if (_host.socket >= 0) network_destroy(_host.socket);
    _host.socket = -1;
    _host.players = [];
    __punch_set_state(_host, PUNCH_IDLE);
}

// --- What the above is made of ---------------------------------------------------------

/// @desc The address of a packet, whole if it is of a player or of one who was introduced.
/// @ignore
function __punch_host_whole_ip(_host, _ip, _port) {
    for (var _i = 0; _i < array_length(_host.players); ++_i) {
        _ip = __punch_whole_ip(_ip, _port, _host.players[_i].ip, _host.players[_i].port);
    }
    for (var _i = 0; _i < array_length(_host.introductions); ++_i) {
        _ip = __punch_whole_ip(_ip, _port, _host.introductions[_i].ip, _host.introductions[_i].port);
    }
    return _ip;
}

/// @desc The player or introduction of that endpoint, or undefined.
/// @ignore
function __punch_host_find(_list, _ip, _port) {
    for (var _i = 0; _i < array_length(_list); ++_i) {
        if (_list[_i].port == _port && _list[_i].ip == _ip) return _list[_i];
    }
    return undefined;
}

/// @desc Registers, and does it again before the NAT or the master server forgets.
/// @ignore
function __punch_host_register(_host) {
    var _control = _host.control;
    var _had_socket = _control.socket >= 0;
    __punch_control_step(_control);
    // Sent twice, now and when the connection is open, as one may be lost.
    if (!_had_socket && _control.socket >= 0) __punch_host_send_reg(_host);

    if (!_control.is_open) {
        if (_host.state == PUNCH_CONNECTED) __punch_set_state(_host, PUNCH_ASKING);
        return;
    }
    if (_host.registered_on != _control.connection) {
        _host.registered_on = _control.connection;
        _host.reg_at = current_time;
        _host.reg_wait = PUNCH_REFRESH_FIRST;
        _host.reg2_at = infinity;
        _host.probe_at = infinity;
        _host.answer_until = infinity;
    }
    if (current_time >= _host.reg_at) {
        __punch_host_send_reg(_host);
        // It may be lost, and nothing tells: soon again at first, then less and less often.
        _host.reg_at = current_time + _host.reg_wait;
        _host.reg_wait = min(PUNCH_REFRESH_EVERY, 2 * _host.reg_wait);
        // Old master servers hide a game after the UDP packet until the TCP message comes.
        _host.reg2_at = current_time + PUNCH_REG_BEFORE_REG2;
    }
    var _lines = [];
    if (current_time >= _host.reg2_at) {
        _host.reg2_at = infinity;
        _host.reg2_sent_at = current_time;
        _host.probe_at = current_time;
        _lines = ["reg2", PUNCH_VERSION];
        array_copy(_lines, 2, _host.data, 0, PUNCH_DATA_STRINGS);
    }
    if (current_time >= _host.probe_at) {
        // The master server answers this, so that a dead connection is noticed.
        _host.probe_at = current_time + PUNCH_PROBE_EVERY;
        _host.answer_until = min(_host.answer_until, current_time + PUNCH_PROBE_TIMEOUT);
        array_push(_lines, "version");
        __punch_control_send(_control, _lines);
    }
    if (current_time >= _host.answer_until) {
        if (_host.is_answering) {
            __punch_control_lost(_control);
        } else {
            __punch_host_registered(_host);     // does not know "version"
        }
    }
}

/// @ignore
function __punch_host_registered(_host) {
    _host.answer_until = infinity;
    _host.control.failures = 0;
    __punch_set_state(_host, PUNCH_CONNECTED);
}

/// @ignore
function __punch_host_send_reg(_host) {
    __punch_send_udp(_host.socket, _host.control.ip, _host.control.port, -1, ["reg\n"]);
}

/// @desc Reads what the master server said.
/// @ignore
function __punch_host_read_control(_host) {
    var _message = __punch_control_next_message(_host.control);
    while (_message != undefined) {
        switch (_message.type) {
            case PUNCH_BYTE.VERSION:
                _host.is_answering = true;
                __punch_host_registered(_host);
                break;
            case PUNCH_BYTE.INTRODUCTION:
                __punch_host_introduce(_host, _message.ip, _message.port);
                break;
        }
        _message = __punch_control_next_message(_host.control);
    }
}

/// @desc Begins to knock at a client.
/// @ignore
function __punch_host_introduce(_host, _ip, _port) {
    // Port 0 is what old master servers say when they do not know it.
    if (_port < 1 || _port > 65535) return;
    var _introduction = __punch_host_find(_host.introductions, _ip, _port);
    if (_introduction == undefined) {
        if (array_length(_host.introductions) >= PUNCH_MOST_INTRODUCTIONS) array_delete(_host.introductions, 0, 1);
        _introduction = { ip : _ip, port : _port, until : 0, next_knock : 0 };
        array_push(_host.introductions, _introduction);
    }
    _introduction.until = current_time + PUNCH_PUNCHING_TIMEOUT;
}

/// @desc Knocks at introduced clients, so that the own NAT lets their knocks in.
/// @ignore
function __punch_host_knock(_host) {
    for (var _i = array_length(_host.introductions) - 1; _i >= 0; --_i) {
        var _client = _host.introductions[_i];
        if (current_time >= _client.until
                || __punch_host_find(_host.players, _client.ip, _client.port) != undefined) {
            array_delete(_host.introductions, _i, 1);
        } else if (current_time >= _client.next_knock) {
            _client.next_knock = current_time + PUNCH_KNOCK_EVERY;
            __punch_send_udp(_host.socket, _client.ip, _client.port, PUNCH_BYTE.KNOCK);
        }
    }
}

/// @desc Welcomes new players, a few times as packets get lost, and drops silent ones.
/// @ignore
function __punch_host_welcome(_host) {
    for (var _i = array_length(_host.players) - 1; _i >= 0; --_i) {
        var _player = _host.players[_i];
        if (current_time - _player.heard_at > PUNCH_SILENCE_TIMEOUT) {
            array_delete(_host.players, _i, 1);
        } else if (_player.welcomes > 0 && current_time >= _player.next_welcome) {
            _player.welcomes -= 1;
            _player.next_welcome = current_time + PUNCH_WELCOME_EVERY;
            __punch_send_udp(_host.socket, _player.ip, _player.port, PUNCH_BYTE.WELCOME);
        }
    }
}
