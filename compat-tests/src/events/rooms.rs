//! The client's requests that have to do with rooms.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::EventClient;
use super::error::EventError;
use super::told::{Joined, Listed, Made};

/// How long a list may take, of which the server tells a part at a time.
const LIST_WITHIN: Duration = Duration::from_secs(20);

impl EventClient {
    /// Makes a room and returns its ID.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn create_room(&mut self, name: &str, max_players: usize) -> Result<String, EventError> {
        let data = json!({"name": name, "max_players": max_players});
        self.make_room(data).map(|made| made.room)
    }

    /// Makes a room with all that PROTOCOL.md knows of.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn make_room(&mut self, data: Value) -> Result<Made, EventError> {
        self.ask("create_room", data)
    }

    /// Changes one's own room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn update_room(&mut self, data: Value) -> Result<(), EventError> {
        self.request(None, "update_room", data).map(drop)
    }

    /// Deletes one's own room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn delete_room(&mut self, room: &str) -> Result<(), EventError> {
        self.request(None, "delete_room", json!({"room": room})).map(drop)
    }

    /// All rooms of one's game.
    ///
    /// # Errors
    /// If the server refuses it, or the list has no end.
    pub fn list_rooms(&mut self) -> Result<Vec<Listed>, EventError> {
        self.find_rooms(json!({}))
    }

    /// The rooms that one looks for, with the members of `list_rooms` in PROTOCOL.md.
    ///
    /// # Errors
    /// If the server refuses it, or the list has no end.
    pub fn find_rooms(&mut self, mut wanted: Value) -> Result<Vec<Listed>, EventError> {
        #[derive(Deserialize)]
        struct Page {
            rooms: Vec<Listed>,
            more: bool,
        }
        let mut all: Vec<Listed> = Vec::new();
        let deadline = Instant::now() + LIST_WITHIN;
        loop {
            if Instant::now() >= deadline {
                return Err(EventError::Endless("list of rooms", LIST_WITHIN));
            }
            if let Some(last) = all.last() {
                wanted["after"] = json!(last.room);
            }
            let page: Page = self.ask("list_rooms", wanted.clone())?;
            all.extend(page.rooms);
            if !page.more {
                return Ok(all);
            }
        }
    }

    /// Joins a room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn join_room(&mut self, room: &str) -> Result<Joined, EventError> {
        self.join(json!({"room": room}))
    }

    /// Joins a room by its ID or its code, perhaps with a password.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn join(&mut self, data: Value) -> Result<Joined, EventError> {
        self.ask("join_room", data)
    }

    /// Joins any room that has this own data and a place.
    ///
    /// # Errors
    /// If there is none.
    pub fn quick_join(&mut self, filter: Value) -> Result<Joined, EventError> {
        self.ask("quick_join", json!({"filter": filter}))
    }

    /// Wants to hear of changes of the list, as passes `rooms_changed`; the first rooms of it.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn watch_rooms(&mut self, wanted: Value) -> Result<Value, EventError> {
        self.request(None, "watch_rooms", wanted)
    }

    /// Wants to hear of them no more.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn unwatch_rooms(&mut self) -> Result<(), EventError> {
        self.request(None, "unwatch_rooms", json!({})).map(drop)
    }

    /// Leaves the room.
    ///
    /// # Errors
    /// If one is in no room.
    pub fn leave_room(&mut self) -> Result<(), EventError> {
        self.request(None, "leave_room", json!({})).map(drop)
    }

    /// Throws a player out of one's room.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn kick(&mut self, id: &str) -> Result<(), EventError> {
        self.request(None, "kick", json!({"id": id})).map(drop)
    }

    /// Lets a player in again whom one has thrown out.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn let_in(&mut self, id: &str) -> Result<(), EventError> {
        self.request(None, "let_in", json!({"id": id})).map(drop)
    }
}
