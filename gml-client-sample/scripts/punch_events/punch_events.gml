// Rooms and messages that go through the master server, as JSON: for HTML5, which has nothing but
// WebSocket, and for what need not be fast. Needs punchd; see "events" in its PROTOCOL.md.
// Create it, call punch_events_step() and punch_events_next() in the Step event and
// punch_events_network_event() in the Async - Networking event, and destroy it in the Clean Up event.

/// @desc Connects and logs in, again and again if the connection is lost.
/// @param {String} _master_address  IP address or name of the master server; of several with commas between
/// @param {Real} _master_port
/// @param {String} _player  the name of this player; nobody else in the game can have it at the same time
/// @param {Struct} [_options]  any of
///     game   : the name of your game; players of other games are not seen
///     key    : if the master server asks for one (--key)
///     socket : network_socket_tcp (the default; HTML5: network_socket_ws), network_socket_ws, or
///              network_socket_wss for a page that came by https
/// @returns {Struct.PunchEvents}
function punch_events_create(_master_address, _master_port, _player, _options = {}) {
    var _socket = variable_struct_get(_options, "socket")
        ?? ((os_browser == browser_not_a_browser) ? network_socket_tcp : network_socket_ws);
    return new PunchEvents(_master_address, _master_port, _player, _options, _socket);
}

/// @desc What punch_events_create() gives. Read it as you like; change it with the functions.
/// @param {String} _master_address
/// @param {Real} _master_port
/// @param {String} _player
/// @param {Struct} _options
/// @param {Real} _socket
function PunchEvents(_master_address, _master_port, _player, _options, _socket) constructor {
    control = new __PunchControl(_master_address, _master_port, _socket, "/events");
    player = _player;           // as the master server calls us, once connected
    game = variable_struct_get(_options, "game");
    key = variable_struct_get(_options, "key");
    secret = undefined;         // shows that it is us who come back
    last_request = 0;
    login_request = 0;          // the number of the login that has no answer yet
    asked_on = 0;               // the control connection on which it was sent
    probed_at = 0;              // the master server was asked for an answer
    probe = 0;                  // the number of that request
    waiting = [];               // events that the game has not taken yet
    state = PUNCH_ASKING;
    state_since = current_time;
    reason = "";
}

/// @desc Does what is due; call it in the Step event.
/// @param {Struct.PunchEvents} _events
function punch_events_step(_events) {
    if (_events.state == PUNCH_FAILED) return;
    var _control = _events.control;
    __punch_control_step(_control);
    if (!_control.is_open) {
        if (_events.state == PUNCH_CONNECTED) __punch_set_state(_events, PUNCH_ASKING);
        return;
    }
    if (_events.asked_on != _control.connection) {
        _events.asked_on = _control.connection;
        __punch_events_log_in(_events);
    }
    __punch_events_probe(_events);
    while (_events.state != PUNCH_FAILED) {
        var _text = __punch_control_next_line(_control);
        if (_text == undefined) break;
        __punch_events_read(_events, _text);
    }
}

/// @desc Takes part in the Async - Networking event; call it there.
/// @param {Struct.PunchEvents} _events
function punch_events_network_event(_events) {
    __punch_control_network_event(_events.control);
}

/// @desc The next event for the game: a struct with type ("request", "response" or "pass"), name, data or
///       error, from (the player who sent it; not there if it is the master server), and request_id.
/// @param {Struct.PunchEvents} _events
/// @returns {Struct|Undefined} undefined if there is none; call it until then
function punch_events_next(_events) {
    if (array_length(_events.waiting) == 0) return undefined;
    var _event = _events.waiting[0];
    array_delete(_events.waiting, 0, 1);
    return _event;
}

/// @desc Asks the master server, or a player, for something. The answer is an event of type "response".
/// @param {Struct.PunchEvents} _events
/// @param {String} _name  such as "create_room", "list_rooms" or "quick_join"
/// @param {Any} [_data]
/// @param {String} [_dest]  a player of the room; without it the master server
/// @returns {Real} the request_id that the answer will have; -1 if it was not sent: see the state
function punch_events_request(_events, _name, _data = {}, _dest = undefined) {
    if (_events.state != PUNCH_CONNECTED) return -1;
    return __punch_events_request(_events, _name, _data, _dest);
}

/// @desc Answers the request of a player.
/// @param {Struct.PunchEvents} _events
/// @param {Struct} _request  as punch_events_next() gave it
/// @param {Any} [_data]
function punch_events_answer(_events, _request, _data = {}) {
    __punch_events_send(_events, {
        type : "response", name : _request.name, data : _data, request_id : _request.request_id,
        dest : variable_struct_get(_request, "from")
    });
}

/// @desc Sends something to a player of the room who need not answer.
/// @param {Struct.PunchEvents} _events
/// @param {String} _dest  the player
/// @param {String} _name
/// @param {Any} [_data]
/// @returns {Bool} whether it was sent
function punch_events_pass(_events, _dest, _name, _data = {}) {
    if (_events.state != PUNCH_CONNECTED) return false;
    __punch_events_send(_events, { type : "pass", name : _name, data : _data, dest : _dest });
    return true;
}

/// @desc PUNCH_CONNECTED while logged in, PUNCH_ASKING before and while the master server is away,
///       PUNCH_FAILED if it refused us: nothing more will happen then.
/// @param {Struct.PunchEvents} _events
/// @returns {String}
function punch_events_state(_events) {
    return _events.state;
}

/// @desc What is wrong, as a sentence to show; "" if all is well.
/// @param {Struct.PunchEvents} _events
/// @returns {String}
function punch_events_reason(_events) {
    if (_events.state == PUNCH_ASKING) return __punch_control_trouble(_events.control);
    return _events.reason;
}

/// @desc Leaves and frees everything. Do not use it afterwards.
/// @param {Struct.PunchEvents} _events
function punch_events_destroy(_events) {
    __punch_control_destroy(_events.control);
    _events.state = PUNCH_IDLE;
}

/// @ignore
function __punch_events_log_in(_events) {
    var _data = { id : _events.player, keep : true };
    if (_events.game != undefined) _data.game = _events.game;
    if (_events.key != undefined) _data.key = _events.key;
    if (_events.secret != undefined) _data.secret = _events.secret;
    _events.login_request = __punch_events_request(_events, "login", _data);
    _events.probed_at = current_time;
}

/// @desc Finds out whether the master server is still there: not every runtime tells of a lost connection.
/// @ignore
function __punch_events_probe(_events) {
    var _control = _events.control, _heard_at = _control.received_at;
    var _is_asked = _events.probed_at > _heard_at;
    if (_is_asked && current_time - _events.probed_at > PUNCH_PROBE_TIMEOUT) {
        __punch_control_lost(_control);
    } else if (!_is_asked && current_time - _heard_at > PUNCH_PROBE_EVERY) {
        _events.probed_at = current_time;
        _events.probe = __punch_events_request(_events, "ping", {});
    }
}

/// @ignore
function __punch_events_request(_events, _name, _data, _dest = undefined) {
    _events.last_request += 1;
    var _event = { type : "request", name : _name, data : _data, request_id : _events.last_request };
    if (_dest != undefined) _event.dest = _dest;
    __punch_events_send(_events, _event);
    return _events.last_request;
}

/// @ignore
function __punch_events_send(_events, _event) {
    __punch_control_send(_events.control, [json_stringify(_event)]);
}

/// @desc Takes what is for us out of what came, and keeps the rest for the game.
/// @ignore
function __punch_events_read(_events, _text) {
    var _event = undefined;
    try {
        _event = json_parse(_text);
    } catch (_error) {
        __punch_events_fail(_events, "The master server sent what is no JSON; update the game.");
        return;
    }
    var _type = variable_struct_get(_event, "type"), _name = variable_struct_get(_event, "name");
    if (_type == "request" && _name == "ping") {
        punch_events_answer(_events, _event);
    } else if (_type == "response" && _name == "ping" && variable_struct_get(_event, "request_id") == _events.probe) {
        return;                 // that it came is enough
    } else if (_type == "response" && _name == "login" && _events.login_request != 0
            && variable_struct_get(_event, "request_id") == _events.login_request) {
        _events.login_request = 0;
        __punch_events_logged_in(_events, _event);
    } else {
        array_push(_events.waiting, _event);
    }
}

/// @ignore
function __punch_events_logged_in(_events, _event) {
    var _error = variable_struct_get(_event, "error");
    if (_error != undefined) {
        // The master server finds out meanwhile whether who has that name is still there.
        if (_error.code == "id_taken" && _events.secret != undefined) {
            __punch_control_lost(_events.control);
            return;
        }
        __punch_events_fail(_events, "The master server refused the login: " + _error.message + ".");
        return;
    }
    _events.control.failures = 0;
    _events.player = _event.data.id;
    _events.secret = _event.data.secret;
    __punch_set_state(_events, PUNCH_CONNECTED);
    array_push(_events.waiting, _event);
}

/// @ignore
function __punch_events_fail(_events, _reason) {
    __punch_control_close(_events.control);
    __punch_set_state(_events, PUNCH_FAILED, _reason);
}
