//! The server as a Windows service.

use std::ffi::OsString;
use std::io;
use std::os::windows::io::AsRawHandle as _;
use std::process;
use std::sync::OnceLock;
use std::time::Duration;

use log::warn;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
use windows_service::service_dispatcher;

/// Means nothing for a service that has a process of its own.
const NAME: &str = "punchd";

static WORK: OnceLock<fn() -> bool> = OnceLock::new();
static STOP: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

windows_service::define_windows_service!(service_main, serve);

/// Does the work of this process, as a service if Windows has started it as one. Returns whether that
/// went well.
pub(crate) fn run_as_wanted(work: fn() -> bool) -> bool {
    // A service has no standard input, unlike what a person or another program starts. That is looked at
    // first, as asking Windows may take seconds where no service manager runs.
    if !io::stdin().as_raw_handle().is_null() {
        return work();
    }
    let _ = WORK.set(work);
    // Anywhere else than in a service this fails.
    service_dispatcher::start(NAME, service_main).is_ok() || work()
}

/// What ends the work when Windows stops the service.
pub(crate) fn stop_service_by(stop: impl Fn() + Send + Sync + 'static) {
    let _ = STOP.set(Box::new(stop));
}

fn serve(_: Vec<OsString>) {
    let obey = |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            // Before it has begun there is nothing to end well.
            STOP.get().map_or_else(|| process::exit(0), |stop| stop());
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let Ok(handle) = service_control_handler::register(NAME, obey) else { return };
    let tell = |current_state, exit_code| {
        let status = ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state,
            controls_accepted: ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
            exit_code: ServiceExitCode::ServiceSpecific(exit_code),
            checkpoint: 0,
            wait_hint: Duration::ZERO,
            process_id: None,
        };
        if let Err(error) = handle.set_service_status(status) {
            warn!("cannot tell Windows how the service does: {error}");
        }
    };
    tell(ServiceState::Running, 0);
    let is_well = WORK.get().is_some_and(|work| work());
    tell(ServiceState::Stopped, u32::from(!is_well));
}
