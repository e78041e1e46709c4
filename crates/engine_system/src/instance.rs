//! stub
use std::sync::Arc;
/// o
#[derive(Default,Debug)] pub struct InstanceOptions { /// n
 pub name: Option<String> }
/// r
pub fn run_instance(_c: &engine_net::config::ConnectionConfig, _s: Vec<Arc<dyn crate::System>>, _o: InstanceOptions) -> Result<(), std::io::Error> { Ok(()) }
