if (host != undefined) punch_host_destroy(host);
if (client != undefined) punch_client_destroy(client);
punch_lobby_destroy(lobby);
punch_nat_destroy(nat);
