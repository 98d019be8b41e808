// The sample game: a host and its clients, each with a square. Everything about the network
// is in the punch_... scripts; this object shows how to use them.

// Put the IP address of your master server here; of several with commas between.
master_address = "127.0.0.1";
master_port = 6510;
game_port = 6520;               // UDP; only the host needs a fixed one. punchd itself has 6510 and 6511

host = undefined;               // from punch_host_create() while hosting
client = undefined;             // from punch_client_create() while joining
lobby = punch_lobby_create(master_address, master_port);
nat = punch_nat_create(master_address, master_port);

field_width = 960;              // where the squares can go: the room
field_height = 540;
my_x = 480;
my_y = 300;
squares = [];                   // the others' squares, by player number: { x, y, seen_at }
next_send = 0;
send_every = 50;                // milliseconds

button_list = [];               // what can be clicked in this step: { left, top, right, bottom, text, action }

/// @desc Starts to host a game.
start_hosting = function() {
    stop();
    host = punch_host_create(master_address, master_port, game_port, ["Sample game", "2 squares"]);
    squares = [];
};

/// @desc Joins a game of the lobby.
start_joining = function(_entry) {
    stop();
    client = punch_client_create(master_address, master_port);
    punch_client_join(client, _entry, game_port);
    squares = [];
};

/// @desc Ends hosting or joining.
stop = function() {
    if (host != undefined) punch_host_destroy(host);
    if (client != undefined) punch_client_destroy(client);
    host = undefined;
    client = undefined;
    refresh();
};

/// @desc Asks for the ten newest games.
refresh = function() {
    punch_lobby_refresh(lobby, { sort : "date", descending : true, limit : 10 });
};

/// @desc Notes where a player's square is.
move_square = function(_number, _x, _y) {
    squares[_number] = { x : _x, y : _y, seen_at : current_time };
};

/// @desc Sends positions: a client its own; the host its own and those of the other players.
send_positions = function() {
    if (client != undefined) {
        var _mine = demo_position_write(0, my_x, my_y);
        punch_client_send(client, _mine, buffer_get_size(_mine));
        buffer_delete(_mine);
    }
    if (host != undefined) {
        send_square(0, my_x, my_y);
        var _players = punch_host_players(host);
        for (var _i = 0; _i < array_length(_players); ++_i) {
            var _square = _players[_i].game;
            if (variable_struct_exists(_square, "x")) send_square(_players[_i].number, _square.x, _square.y);
        }
    }
};

/// @desc Host: tells every player but its owner where a square is.
send_square = function(_number, _x, _y) {
    var _buffer = demo_position_write(_number, _x, _y);
    var _players = punch_host_players(host);
    for (var _i = 0; _i < array_length(_players); ++_i) {
        if (_players[_i].number != _number) punch_host_send(host, _players[_i], _buffer, buffer_get_size(_buffer));
    }
    buffer_delete(_buffer);
};

/// @desc Adds a button and draws it.
draw_button = function(_left, _top, _text, _action) {
    var _right = _left + 160, _bottom = _top + 28;
    array_push(button_list, { left : _left, top : _top, right : _right, bottom : _bottom, action : _action });
    draw_set_colour(point_in_rectangle(mouse_x, mouse_y, _left, _top, _right, _bottom) ? c_aqua : c_ltgray);
    draw_rectangle(_left, _top, _right, _bottom, true);
    draw_text(_left + 8, _top + 6, _text);
};

/// @desc Draws a square with a number.
draw_square = function(_x, _y, _colour, _text) {
    draw_set_colour(_colour);
    draw_rectangle(_x - 16, _y - 16, _x + 15, _y + 15, false);
    draw_text(_x - 16, _y + 20, _text);
};

refresh();
