//! The places of requests at the ingress: how many of each sort are answered at once.
//!
//! Its invariant: what is over in a moment never waits for what may take for ever. Calls and
//! attaches wait for functions; sends, questions, and what ends an awakeable have places of their
//! own. So a function that waits for an awakeable can be told, however many callers wait for that
//! function; and the callers of one service leave places to those of the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::GatewayLimits;

/// The places that there are.
#[derive(Debug)]
pub(crate) struct Places {
    calls: Arc<Semaphore>,
    attaches: Arc<Semaphore>,
    short: Arc<Semaphore>,
    service_max: usize,
    services: Arc<Services>,
}

/// How many calls of each service have a place. A service without any is not there.
#[derive(Debug, Default)]
struct Services(Mutex<BTreeMap<String, usize>>);

/// A request's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _of_sort: OwnedSemaphorePermit,
    _of_service: Option<PlaceOfService>,
}

#[derive(Debug)]
struct PlaceOfService {
    services: Arc<Services>,
    service: String,
}

/// Why a request has no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// There are as many requests of its sort as there may be.
    Any,
    /// There are as many calls of this service as there may be.
    OfService(String),
}

impl Places {
    /// Makes as many places as the limits say.
    pub(crate) fn new(limits: &GatewayLimits) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(limits.requests_max)),
            attaches: Arc::new(Semaphore::new(limits.attaches_max)),
            short: Arc::new(Semaphore::new(limits.short_requests_max)),
            service_max: limits.service_requests_max,
            services: Arc::default(),
        }
    }

    /// Takes the place of a call, which waits for a function of this service.
    pub(crate) fn call(&self, service: &str) -> Result<Place, NoPlace> {
        let of_service = self.services.take(service, self.service_max);
        let of_service = of_service.ok_or_else(|| NoPlace::OfService(service.to_owned()))?;
        Ok(Place { _of_service: Some(of_service), ..take(&self.calls)? })
    }

    /// Takes the place of whoever waits for a call that was made before.
    pub(crate) fn attach(&self) -> Result<Place, NoPlace> {
        take(&self.attaches)
    }

    /// Takes the place of what waits for no function.
    pub(crate) fn short(&self) -> Result<Place, NoPlace> {
        take(&self.short)
    }
}

fn take(places: &Arc<Semaphore>) -> Result<Place, NoPlace> {
    let of_sort = Arc::clone(places).try_acquire_owned().map_err(|_| NoPlace::Any)?;
    Ok(Place { _of_sort: of_sort, _of_service: None })
}

impl Services {
    fn take(self: &Arc<Self>, service: &str, max: usize) -> Option<PlaceOfService> {
        let mut taken = self.lock();
        match taken.get_mut(service) {
            Some(taken) if *taken >= max => return None,
            Some(taken) => *taken += 1,
            None => {
                taken.insert(service.to_owned(), 1);
            }
        }
        Some(PlaceOfService { services: Arc::clone(self), service: service.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlaceOfService {
    fn drop(&mut self) {
        let mut services = self.services.lock();
        if let Some(taken) = services.get_mut(&self.service) {
            *taken -= 1;
            if *taken == 0 {
                services.remove(&self.service);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(&GatewayLimits {
            requests_max: 3,
            service_requests_max: 2,
            attaches_max: 1,
            short_requests_max: 1,
            ..GatewayLimits::default()
        })
    }

    fn no_place(taken: Result<Place, NoPlace>) -> NoPlace {
        taken.expect_err("no place is left")
    }

    #[test]
    fn a_service_leaves_places_to_the_others() {
        let places = places();
        let slow = [places.call("Slow"), places.call("Slow")].map(Result::unwrap);
        assert_eq!(no_place(places.call("Slow")), NoPlace::OfService("Slow".into()));
        let other = places.call("Other").unwrap();
        assert_eq!(no_place(places.call("Other")), NoPlace::Any);
        drop(slow);
        drop([places.call("Slow"), places.call("Slow")].map(Result::unwrap));
        drop(other);
        assert_eq!(places.services.lock().len(), 0);
    }

    #[test]
    fn each_sort_has_places_of_its_own() {
        let places = places();
        let taken = ["A", "A", "B"].map(|service| places.call(service).unwrap());
        let (attach, short) = (places.attach().unwrap(), places.short().unwrap());
        assert_eq!(no_place(places.attach()), NoPlace::Any);
        assert_eq!(no_place(places.short()), NoPlace::Any);
        drop((attach, short));
        drop((places.attach().unwrap(), places.short().unwrap()));
        drop(taken);
    }
}
