// Plays the sample's own room: presses its buttons and says what it shows, one key=value a line.
//
//   gml-run --project gml-client-sample --room rm_demo --driver compat-tests/gml/room.gml --set NAME=VALUE ...
//
// master_ip, master_port: the master server (127.0.0.1, 6510)
// role: host, or join for the first game of the lobby, or nothing for no button at all
// x, y: where the own square is put (100, 200)
//
// demos=N (how many demo objects there are)  listed=D1|D2 (of the first game)
// state=  square=NUMBER:X,Y (another player's)

function setting(_name, _default) {
    return variable_global_exists(_name) ? variable_global_get(_name) : _default;
}

function say(_key, _value) {
    show_debug_message(_key + "=" + string(_value));
}

role = setting("role", "");
demo = undefined;
said_state = "";
said_squares = [];
joined = false;

#event step
if (demo == undefined) {
    say("demos", instance_number(obj_demo));
    demo = instance_find(obj_demo, 0);
    demo.master_address = setting("master_ip", "127.0.0.1");
    demo.master_port = setting("master_port", 6510);
    demo.my_x = setting("x", 100);
    demo.my_y = setting("y", 200);
    // The lobby was made for the address that is written in the project.
    punch_lobby_destroy(demo.lobby);
    demo.lobby = punch_lobby_create(demo.master_address, demo.master_port);
    demo.refresh();
    if (role == "host") demo.start_hosting();
}
if (role == "join" && !joined) {
    var _entries = punch_lobby_entries(demo.lobby);
    if (array_length(_entries) > 0) {
        joined = true;
        say("listed", _entries[0].data[0] + "|" + _entries[0].data[1]);
        demo.start_joining(_entries[0]);
    } else if (punch_lobby_state(demo.lobby) != PUNCH_ASKING && punch_lobby_age(demo.lobby) > 0.5) {
        demo.refresh();
    }
}
var _state = "";
if (demo.host != undefined) _state = punch_host_state(demo.host);
if (demo.client != undefined) _state = punch_client_state(demo.client);
if (_state != said_state) {
    said_state = _state;
    say("state", _state);
}
for (var _i = 0; _i < array_length(demo.squares); ++_i) {
    var _square = demo.squares[_i];
    if (!is_struct(_square)) continue;
    var _text = string(_i) + ":" + string(_square.x) + "," + string(_square.y);
    if (array_contains(said_squares, _text)) continue;
    array_push(said_squares, _text);
    say("square", _text);
}
