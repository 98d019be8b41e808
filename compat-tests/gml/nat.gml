// Finds out with the sample's scripts what the router does, and says so, one key=value a line.
//
//   gml-run --project gml-client-sample --driver compat-tests/gml/nat.gml --set NAME=VALUE ...
//
// master_ip, master_port, other_port: the master server (127.0.0.1, 6510, the next)
//
// kind=  advice=  seen=IP:PORT (by the first port)

function setting(_name, _default) {
    return variable_global_exists(_name) ? variable_global_get(_name) : _default;
}

var _port = setting("master_port", 6510);
nat = punch_nat_create(setting("master_ip", "127.0.0.1"), _port, setting("other_port", _port + 1));

#event step
punch_nat_step(nat);
if (punch_nat_kind(nat) != PUNCH_NAT_ASKING) {
    show_debug_message("seen=" + nat.seen[0]);
    show_debug_message("kind=" + punch_nat_kind(nat));
    show_debug_message("advice=" + punch_nat_advice(nat));
    punch_nat_destroy(nat);
    game_end(0);
}

#event networking
punch_nat_network_event(nat);
