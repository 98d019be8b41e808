// Asks for the list of games with the sample's scripts and says what it holds, one key=value
// a line.
//
//   gml-run --project gml-client-sample --driver compat-tests/gml/lobby.gml --set NAME=VALUE ...
//
// master_ip, master_port: the master server (127.0.0.1, 6510)
// filter1 ... filter8: what the data strings have to be (anything)
// sort: date, data1 ... data8 (date); descending: 1 or 0 (1); limit: (none)
// every: refreshes again so many seconds after each answer; without it, ends after the first
//
// state=  reason=  listed=N  entry=IP|D1|...|D8|CREATED (N times, in order)  steps_per_second=N

function setting(_name, _default) {
    return variable_global_exists(_name) ? variable_global_get(_name) : _default;
}

function say(_key, _value) {
    show_debug_message(_key + "=" + string(_value));
}

lobby = punch_lobby_create(setting("master_ip", "127.0.0.1"), setting("master_port", 6510));
options = {
    filter : [],
    sort : setting("sort", "date"),
    descending : setting("descending", 1),
    limit : setting("limit", "")
};
for (var _i = 1; _i <= 8; ++_i) array_push(options.filter, setting("filter" + string(_i), ""));
punch_lobby_refresh(lobby, options);
every = setting("every", 0);
refresh_at = infinity;
said_state = "";
said_reason = "";
steps = 0;
second_ends = current_time + 1000;

#event step
punch_lobby_step(lobby);
if (punch_lobby_state(lobby) != said_state) {
    said_state = punch_lobby_state(lobby);
    say("state", said_state);
    if (said_state == PUNCH_IDLE) {
        var _entries = punch_lobby_entries(lobby);
        say("listed", array_length(_entries));
        for (var _i = 0; _i < array_length(_entries); ++_i) {
            var _text = _entries[_i].ip;
            for (var _j = 0; _j < 8; ++_j) _text += "|" + _entries[_i].data[_j];
            say("entry", _text + "|" + string(_entries[_i].created));
        }
    }
    said_reason = "";           // said again with the new state
}
if (punch_lobby_reason(lobby) != said_reason) {
    said_reason = punch_lobby_reason(lobby);
    say("reason", said_reason);
}
if (said_state != PUNCH_ASKING && refresh_at == infinity) {
    if (every == 0) {
        punch_lobby_destroy(lobby);
        game_end((said_state == PUNCH_IDLE) ? 0 : 1);
        exit;
    }
    refresh_at = current_time + 1000 * every;
}
if (current_time >= refresh_at) {
    refresh_at = infinity;
    punch_lobby_refresh(lobby, options);
    said_state = punch_lobby_state(lobby);
    say("state", said_state);
}

++steps;
if (current_time >= second_ends) {
    second_ends += 1000;
    say("steps_per_second", steps);
    steps = 0;
}

#event networking
punch_lobby_network_event(lobby);
