//! What `punch events` does about rooms.

use super::*;

impl Session {
    /// A command that has to do with rooms.
    pub(super) fn in_rooms(&mut self, words: &[&str]) -> Result<(), EventError> {
        match *words {
            ["create", name, ref more @ ..] => self.create(name, more),
            ["rooms", ref wanted @ ..] => self.rooms(wanted),
            ["join", room] => self.join(room, None),
            ["join", room, password] => self.join(room, Some(password)),
            ["quick", ref wanted @ ..] => match looked_for(wanted, &[]) {
                Ok(mut wanted) => {
                    let joined = self.client.quick_join(wanted["filter"].take())?;
                    self.joined(joined);
                    Ok(())
                }
                Err(why) => self.wrong(&why),
            },
            ["watch", ref wanted @ ..] => match looked_for(wanted, &ORDERS) {
                Ok(wanted) => {
                    self.watched = Some(wanted.clone());
                    self.client.watch_rooms(wanted).map(drop)
                }
                Err(why) => self.wrong(&why),
            },
            ["unwatch"] => {
                self.watched = None;
                self.client.unwatch_rooms()
            }
            ["set"] => self.wrong("want what to set, such as locked or max=N"),
            ["set", ref more @ ..] => match settings(more, false) {
                Ok(data) => {
                    self.client.update_room(data.clone())?;
                    if let Some(home) = &mut self.home {
                        home.update(&data);
                    }
                    Ok(())
                }
                Err(why) => self.wrong(&why),
            },
            ["secret"] => {
                say(self.client.logged_in().map_or("", |login| &login.secret));
                Ok(())
            }
            ["let", id] => self.client.let_in(id),
            ["who"] => {
                say(if self.room.is_none() { "in no room".into() } else { self.players.join(" ") });
                Ok(())
            }
            ["leave"] => self.client.leave_room(),
            ["delete"] => self.client.delete_room(&self.room.clone().unwrap_or_default()),
            ["kick", id] => self.client.kick(id),
            [verb, ..] => match usage(verb) {
                Some(usage) => self.wrong(&format!("want {usage}")),
                None => self.wrong(&format!("no such command: {verb}\n{HELP}")),
            },
            [] => Ok(()),
        }
    }

    fn create(&mut self, name: &str, more: &[&str]) -> Result<(), EventError> {
        let (max, more) = match more.split_first().map(|(max, rest)| (max.parse::<u64>(), rest)) {
            Some((Ok(max), rest)) => (max, rest),
            _ => (8, more),
        };
        let mut data = match settings(more, true) {
            Ok(data) => data,
            Err(why) => return self.wrong(&why),
        };
        data["name"] = json!(name);
        if data["max_players"].is_null() {
            data["max_players"] = json!(max);
        }
        self.make(data)
    }

    /// Makes a room, which it makes again when the server has lost it.
    pub(super) fn make(&mut self, data: Value) -> Result<(), EventError> {
        let made = self.client.make_room(data.clone())?;
        self.home = Some(Home::Own(data));
        say(format_args!("made the room {}", printable(&made.room)));
        if let Some(code) = made.code {
            say(format_args!("others join it with the code {}", printable(&code)));
        }
        self.room = Some(made.room);
        self.players = vec![self.id.clone()];
        Ok(())
    }

    fn rooms(&mut self, wanted: &[&str]) -> Result<(), EventError> {
        let wanted = match looked_for(wanted, &ORDERS) {
            Ok(wanted) => wanted,
            Err(why) => return self.wrong(&why),
        };
        let rooms = self.client.find_rooms(wanted)?;
        if rooms.is_empty() {
            say("no rooms");
        }
        for room in rooms {
            let (name, host) = (printable(&room.name), printable(&room.host));
            let (players, most) = (room.players, room.max_players);
            let mut more = String::new();
            let flags =
                [(room.locked, "  locked"), (room.password, "  password"), (room.mesh, "  mesh")];
            more.extend(flags.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)));
            if !room.data.is_null() {
                more += "  ";
                more += &one_line(&room.data);
            }
            let room = printable(&room.room);
            say(format_args!("{room}  {name}  of {host}  {players}/{most}{more}"));
        }
        Ok(())
    }

    fn join(&mut self, wanted: &str, password: Option<&str>) -> Result<(), EventError> {
        let rooms = self.client.list_rooms()?;
        let named = rooms.iter().find(|room| room.name == wanted);
        let listed = named.or(rooms.iter().find(|room| room.room == wanted));
        let home = listed.map(|room| Home::Of(room.name.clone(), password.map(str::to_owned)));
        let data = match named {
            Some(room) => json!({"room": room.room, "password": password}),
            None if wanted.len() == CODE => json!({"code": wanted, "password": password}),
            None => json!({"room": wanted, "password": password}),
        };
        let joined = self.client.join(data)?;
        self.joined(joined);
        self.home = home;
        Ok(())
    }

    pub(super) fn joined(&mut self, joined: Joined) {
        let players: Vec<String> = joined.players.iter().map(|id| printable(id)).collect();
        let name = joined.name.map(|name| format!(" {}", printable(&name))).unwrap_or_default();
        say(format_args!(
            "in the room {}{name} with {}",
            printable(&joined.room),
            players.join(" ")
        ));
        self.room = Some(joined.room);
        self.players = players;
    }
}
