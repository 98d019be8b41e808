// The list of games that can be joined. Create it, call punch_lobby_refresh(),
// punch_lobby_step() in the Step event and punch_lobby_network_event() in the
// Async - Networking event, and destroy it in the Clean Up event.

/// @desc Makes a lobby. Its list is empty until punch_lobby_refresh().
/// @param {String} _master_address  IP address of the master server; of several with commas between
/// @param {Real} _master_port
/// @returns {Struct.PunchLobby}
function punch_lobby_create(_master_address, _master_port) {
    return new PunchLobby(_master_address, _master_port);
}

/// @desc What punch_lobby_create() gives. Read it as you like; change it with the functions.
/// @param {String} _master_address
/// @param {Real} _master_port
function PunchLobby(_master_address, _master_port) constructor {
    control = new __PunchControl(_master_address, _master_port);
    entries = [];
    query = undefined;          // lines of the request
    asked_on = 0;               // the control connection on which it was sent
    asked_at = 0;               // and when
    refreshed_at = -1;
    state = PUNCH_IDLE;
    state_since = current_time;
    reason = "";
}

/// @desc A game in the list. punch_client_join() takes it as it is.
/// @param {Struct} _json  as the master server sent it
function PunchLobbyEntry(_json) constructor {
    ip = _json.ip;
    data = [];                  // eight strings
    for (var _i = 1; _i <= PUNCH_DATA_STRINGS; ++_i) {
        array_push(data, string(variable_struct_get(_json, "data" + string(_i)) ?? ""));
    }
    created = variable_struct_get(_json, "createdTime") ?? 0;   // seconds since 1970
}

/// @desc Asks for the list again. The entries there are stay until the new ones come.
/// @param {Struct.PunchLobby} _lobby
/// @param {Struct} [_options]  any of
///     filter     : up to eight strings; a game is listed if its data strings are equal to
///                  those that are not ""
///     sort       : "date" (when a game was first listed; the default) or "data1" to "data8"
///     descending : true (the default): newest or greatest first
///     limit      : how many entries at most
function punch_lobby_refresh(_lobby, _options = {}) {
    var _filter = variable_struct_get(_options, "filter") ?? [];
    var _descending = variable_struct_get(_options, "descending") ?? true;
    var _lines = ["lobby2"];
    for (var _i = 0; _i < PUNCH_DATA_STRINGS; ++_i) {
        array_push(_lines, (_i < array_length(_filter)) ? __punch_line(_filter[_i]) : "");
    }
    array_push(_lines, __punch_line(variable_struct_get(_options, "sort") ?? "date"));
    // On the wire the two words are the wrong way round: "ASC" puts the newest first.
    array_push(_lines, _descending ? "ASC" : "DESC");
    array_push(_lines, __punch_line(variable_struct_get(_options, "limit") ?? ""));
    _lobby.query = _lines;
    __punch_control_restart(_lobby.control);
    __punch_set_state(_lobby, PUNCH_ASKING);
    _lobby.state_since = current_time;
}

/// @desc Does what is due; call it in the Step event.
/// @param {Struct.PunchLobby} _lobby
function punch_lobby_step(_lobby) {
    if (_lobby.state != PUNCH_ASKING) return;
    var _control = _lobby.control;
    var _message = __punch_control_next_message(_control);
    if (_message != undefined && _message.type == PUNCH_BYTE.LOBBY) {
        __punch_lobby_read(_lobby, _message.text);
        return;
    }
    if (current_time - _lobby.state_since > PUNCH_LOBBY_TIMEOUT) {
        var _trouble = __punch_control_trouble(_control);
        __punch_lobby_end(_lobby, PUNCH_FAILED, (_trouble != "") ? _trouble
            : "The master server sends no list of games; try again in a minute.");
        return;
    }
    __punch_control_step(_control);
    if (_control.is_open && _lobby.asked_on != _control.connection) {
        _lobby.asked_on = _control.connection;
        _lobby.asked_at = current_time;
        __punch_control_send(_control, _lobby.query);
    } else if (_control.is_open && current_time - max(_lobby.asked_at, _control.received_at)
            > __punch_control_patience(_control, PUNCH_LOBBY_TIMEOUT)) {
        __punch_control_lost(_control);
    }
}

/// @desc Takes part in the Async - Networking event; call it there.
/// @param {Struct.PunchLobby} _lobby
function punch_lobby_network_event(_lobby) {
    __punch_control_network_event(_lobby.control);
}

/// @desc The games of the last list.
/// @param {Struct.PunchLobby} _lobby
/// @returns {Array<Struct.PunchLobbyEntry>}
function punch_lobby_entries(_lobby) {
    return _lobby.entries;
}

/// @desc PUNCH_ASKING while a list is on its way, PUNCH_FAILED if none came, else PUNCH_IDLE.
/// @param {Struct.PunchLobby} _lobby
/// @returns {String}
function punch_lobby_state(_lobby) {
    return _lobby.state;
}

/// @desc How many seconds old the list is; -1 before the first.
/// @param {Struct.PunchLobby} _lobby
/// @returns {Real}
function punch_lobby_age(_lobby) {
    return (_lobby.refreshed_at < 0) ? -1 : (current_time - _lobby.refreshed_at) / 1000;
}

/// @desc Why there is no new list, as a sentence to show; "" if all is well.
/// @param {Struct.PunchLobby} _lobby
/// @returns {String}
function punch_lobby_reason(_lobby) {
    if (_lobby.state == PUNCH_ASKING) return __punch_control_trouble(_lobby.control);
    return _lobby.reason;
}

/// @desc Frees everything. Do not use the lobby afterwards.
/// @param {Struct.PunchLobby} _lobby
function punch_lobby_destroy(_lobby) {
    __punch_control_destroy(_lobby.control);
    _lobby.state = PUNCH_IDLE;
}

/// @desc Takes the entries out of the master server's answer.
/// @ignore
function __punch_lobby_read(_lobby, _text) {
    try {
        var _list = json_parse(_text), _entries = [];
        for (var _i = 0; _i < array_length(_list); ++_i) {
            array_push(_entries, new PunchLobbyEntry(_list[_i]));
        }
        _lobby.entries = _entries;
        _lobby.refreshed_at = current_time;
        __punch_lobby_end(_lobby, PUNCH_IDLE);
    } catch (_error) {
        __punch_lobby_end(_lobby, PUNCH_FAILED, "The master server sent a list that cannot be read; update the game.");
    }
}

/// @ignore
function __punch_lobby_end(_lobby, _state, _reason = "") {
    __punch_control_close(_lobby.control);
    __punch_set_state(_lobby, _state, _reason);
}
